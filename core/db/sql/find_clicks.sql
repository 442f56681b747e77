-- Clicks by their ids, with what led them, why they are a robot's, and the campaign of their link.
select clicks.id, clicks.link_id, coalesce(rule.value, '') as rule, coalesce(variant.value, '') as variant,
       coalesce(bot.value, '') as bot, links.campaign_id
from clicks
left join dictionaries as rule on rule.id = clicks.rule
left join dictionaries as variant on variant.id = clicks.variant
left join dictionaries as bot on bot.id = clicks.bot_reason
left join links on links.id = clicks.link_id
where clicks.id = any (cast(:ids as uuid[])) and clicks.id between cast(:first as uuid) and cast(:last as uuid)
