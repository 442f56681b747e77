-- Insert the clicks that are not stored yet; their ids, joined. The arrays come in the order of the ids.
with stored as (
    insert into clicks (
        id, link_id, revision, visitor, outcome, is_unique, is_head, bot_reason, door_bot,
        user_agent, browser, os, device, language, country, referrer_host, referrer,
        utm_source, utm_medium, utm_campaign, utm_content, utm_term, rule, variant, source, ip, query
    )
    select
        id, link_id, revision, visitor, outcome, is_unique, is_head, bot_reason, door_bot,
        user_agent, browser, os, device, language, country, referrer_host, referrer,
        utm_source, utm_medium, utm_campaign, utm_content, utm_term, rule, variant, source, cast(ip as inet), query
    from unnest(
        cast(:id as uuid[]), cast(:link_id as bigint[]), cast(:revision as bigint[]), cast(:visitor as bigint[]),
        cast(:outcome as smallint[]), cast(:is_unique as boolean[]), cast(:is_head as boolean[]),
        cast(:bot_reason as int[]), cast(:door_bot as int[]),
        cast(:user_agent as int[]), cast(:browser as int[]), cast(:os as int[]), cast(:device as int[]),
        cast(:language as int[]), cast(:country as int[]), cast(:referrer_host as int[]), cast(:referrer as int[]),
        cast(:utm_source as int[]), cast(:utm_medium as int[]), cast(:utm_campaign as int[]),
        cast(:utm_content as int[]), cast(:utm_term as int[]), cast(:rule as int[]), cast(:variant as int[]),
        cast(:source as int[]), cast(:ip as text[]), cast(:query as text[])
    ) as fresh (
        id, link_id, revision, visitor, outcome, is_unique, is_head, bot_reason, door_bot,
        user_agent, browser, os, device, language, country, referrer_host, referrer,
        utm_source, utm_medium, utm_campaign, utm_content, utm_term, rule, variant, source, ip, query
    )
    on conflict do nothing
    returning id
)
select string_agg(uuid_send(id), '') from stored
