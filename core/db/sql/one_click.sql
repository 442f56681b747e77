-- One click with its words, and the click that was counted as its visitor's first on that link that day (kept 3 days).
select clicks.id, clicks.link_id, clicks.revision, clicks.outcome, clicks.is_unique, clicks.is_head, clicks.visitor <> 0 as known,
       host(clicks.ip) as ip, coalesce(clicks.query, '') as query, clicks.stored_at,
       coalesce(reason.value, '') as robot, coalesce(door.value, '') as door_robot,
       coalesce(country.value, '') as country, coalesce(device.value, '') as device,
       coalesce(browser.value, '') as browser, coalesce(os.value, '') as os,
       coalesce(language.value, '') as language, coalesce(user_agent.value, '') as user_agent,
       coalesce(referrer_host.value, '') as referrer_host, coalesce(referrer.value, '') as referrer,
       coalesce(source.value, '') as source, coalesce(rule.value, '') as rule, coalesce(variant.value, '') as variant,
       coalesce(utm_source.value, '') as utm_source, coalesce(utm_medium.value, '') as utm_medium,
       coalesce(utm_campaign.value, '') as utm_campaign, coalesce(utm_content.value, '') as utm_content,
       coalesce(utm_term.value, '') as utm_term,
       case when clicks.visitor = 0 or clicks.is_unique then null else (
           select link_visitors.click_id from link_visitors
           where link_visitors.link_id = clicks.link_id and link_visitors.visitor = clicks.visitor
             and link_visitors.day = :day
       ) end as earlier
from clicks
left join dictionaries as reason on reason.id = clicks.bot_reason
left join dictionaries as door on door.id = clicks.door_bot
left join dictionaries as country on country.id = clicks.country
left join dictionaries as device on device.id = clicks.device
left join dictionaries as browser on browser.id = clicks.browser
left join dictionaries as os on os.id = clicks.os
left join dictionaries as language on language.id = clicks.language
left join dictionaries as user_agent on user_agent.id = clicks.user_agent
left join dictionaries as referrer_host on referrer_host.id = clicks.referrer_host
left join dictionaries as referrer on referrer.id = clicks.referrer
left join dictionaries as source on source.id = clicks.source
left join dictionaries as rule on rule.id = clicks.rule
left join dictionaries as variant on variant.id = clicks.variant
left join dictionaries as utm_source on utm_source.id = clicks.utm_source
left join dictionaries as utm_medium on utm_medium.id = clicks.utm_medium
left join dictionaries as utm_campaign on utm_campaign.id = clicks.utm_campaign
left join dictionaries as utm_content on utm_content.id = clicks.utm_content
left join dictionaries as utm_term on utm_term.id = clicks.utm_term
where clicks.id = :id
