-- What was made of the postbacks from an hour on, and how many were stored, as of one moment.
select verdict, coalesce(why ->> 'code', '') as code, count(*) as postbacks
from postbacks
where id >= :first
group by verdict, code
union all
select '', '', cast(coalesce(sum(stored), 0) as bigint)
from postback_books
where hour >= :since
