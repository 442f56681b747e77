-- The newest clicks of a link (0: of all links) before an id, with their words.
select clicks.id, clicks.link_id, clicks.outcome, clicks.is_unique, clicks.stored_at,
       coalesce(reason.value, '') as reason, coalesce(country.value, '') as country,
       coalesce(device.value, '') as device, coalesce(browser.value, '') as browser, coalesce(os.value, '') as os,
       coalesce(language.value, '') as language, coalesce(referrer_host.value, '') as referrer_host,
       coalesce(source.value, '') as source
from (
    select * from clicks
    where (:link_id = 0 or link_id = :link_id) and id < :before
    order by id desc
    limit :most
) as clicks
left join dictionaries as reason on reason.id = clicks.bot_reason
left join dictionaries as country on country.id = clicks.country
left join dictionaries as device on device.id = clicks.device
left join dictionaries as browser on browser.id = clicks.browser
left join dictionaries as os on os.id = clicks.os
left join dictionaries as language on language.id = clicks.language
left join dictionaries as referrer_host on referrer_host.id = clicks.referrer_host
left join dictionaries as source on source.id = clicks.source
order by clicks.id desc
