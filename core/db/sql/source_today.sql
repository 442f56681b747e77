-- Each source's last :most postbacks since :first by verdict, and the last one it ever sent.
select s.id,
       (select p.id from postbacks p where p.source_id = s.id order by p.id desc limit 1) as last,
       coalesce(
           (select jsonb_object_agg(verdicts.verdict, verdicts.count)
            from (select newest.verdict, count(*) as count
                  from (select p.verdict
                        from postbacks p
                        where p.source_id = s.id and p.id >= :first
                        order by p.id desc
                        limit :most) newest
                  group by newest.verdict) verdicts),
           '{}'::jsonb
       ) as verdicts
from conversion_sources s
