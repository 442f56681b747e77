-- Claim the first click of each visitor, link and day; the ids of those that were first, joined.
with claimed as (
    insert into link_visitors (day, link_id, visitor, click_id)
    select day, link_id, visitor, click_id
    from unnest(cast(:days as date[]), cast(:links as bigint[]), cast(:visitors as bigint[]), cast(:ids as uuid[]))
         as fresh (day, link_id, visitor, click_id)
    on conflict do nothing
    returning click_id
)
select string_agg(uuid_send(click_id), '') from claimed
