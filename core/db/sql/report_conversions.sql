-- Conversions that count, by their own time, and their money in the reporting currency. Link 0: those of all links.
-- Those whose rate is not known are counted, and their money is not.
select count(*) as conversions, count(*) filter (where report_revenue is null) as unrated,
       coalesce(sum(report_revenue), 0) as revenue
from conversions
where (:link_id = 0 and link_id is not null or link_id = :link_id) and at >= :start and at < :end
  and status in ('pending', 'approved') and not is_late
