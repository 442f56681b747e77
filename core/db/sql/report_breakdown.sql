-- Counts of a link per value of one dimension. Redirects without a value are not stored: they are what the rows of
-- kind 0 (all redirects of the day) hold more. The last columns are the sums over all values, shown or not.
with counts as (
    select kind, value, sum(clicks) as clicks, sum(uniques) as uniques, sum(bots) as bots
    from rollup_dims
    where link_id = :link_id and kind in (0, :kind) and day between :first_day and :last_day
    group by kind, value
), named as (
    select value, clicks, uniques, bots from counts where kind = :kind
    union all
    select 0, sum(case kind when 0 then clicks else -clicks end),
           sum(case kind when 0 then uniques else -uniques end),
           sum(case kind when 0 then bots else -bots end)
    from counts
)
select coalesce(dictionaries.value, '') as value, clicks, uniques, bots,
       sum(clicks) over () as all_clicks, sum(uniques) over () as all_uniques, sum(bots) over () as all_bots
from named left join dictionaries on dictionaries.id = named.value
where clicks > 0 or bots > 0
order by clicks desc, bots desc, dictionaries.value
limit :most
