-- What is known of conversions, for the macros of outgoing postbacks.
select conversions.id, coalesce(conversions.click_id, conversions.ref_click) as click_id, conversions.transaction_id,
       conversions.revenue, conversions.payout, conversions.cost, conversions.currency, conversions.status,
       conversions.event, conversions.is_rebill, conversions.customer_id, conversions.coupon, conversions.at,
       conversions.clicked_at, conversions.fields, conversions.link_id, conversion_sources.name as network,
       links.title, links.slug, domains.host, campaigns.id as campaign_id, campaigns.name as campaign,
       link_rules.name as rule, link_variants.name as variant, clicks.query,
       source.value as source, country.value as country, device.value as device, os.value as os,
       browser.value as browser, language.value as language, referrer.value as referrer,
       utm_source.value as utm_source, utm_medium.value as utm_medium, utm_campaign.value as utm_campaign,
       utm_content.value as utm_content, utm_term.value as utm_term
from conversions
join conversion_sources on conversion_sources.id = conversions.source_id
left join links on links.id = conversions.link_id
left join domains on domains.id = links.domain_id
left join campaigns on campaigns.id = links.campaign_id
left join link_rules on link_rules.id = conversions.rule
left join link_variants on link_variants.id = conversions.variant
left join clicks on clicks.id = conversions.click_id
left join dictionaries as source on source.id = clicks.source
left join dictionaries as country on country.id = clicks.country
left join dictionaries as device on device.id = clicks.device
left join dictionaries as os on os.id = clicks.os
left join dictionaries as browser on browser.id = clicks.browser
left join dictionaries as language on language.id = clicks.language
left join dictionaries as referrer on referrer.id = clicks.referrer_host
left join dictionaries as utm_source on utm_source.id = clicks.utm_source
left join dictionaries as utm_medium on utm_medium.id = clicks.utm_medium
left join dictionaries as utm_campaign on utm_campaign.id = clicks.utm_campaign
left join dictionaries as utm_content on utm_content.id = clicks.utm_content
left join dictionaries as utm_term on utm_term.id = clicks.utm_term
where conversions.id = any (cast(:ids as bigint[]))
