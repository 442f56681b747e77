-- The same counts from raw clicks, for the part of a quarter hour at the edge of a range. Link 0: all links.
select count(*) filter (where outcome = 0 and bot_reason = 0) as clicks,
       count(*) filter (where is_unique) as uniques,
       count(*) filter (where outcome = 0 and bot_reason <> 0) as bots,
       count(*) filter (where outcome <> 0) as others
from clicks
where (:link_id = 0 or link_id = :link_id) and id >= :first_id and id < :end_id
