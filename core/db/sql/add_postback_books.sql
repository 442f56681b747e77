-- Add to the books of postbacks, hour by hour.
insert into postback_books (hour, stored, duplicate)
select hour, stored, duplicate
from unnest(cast(:hours as timestamptz[]), cast(:stored as bigint[]), cast(:duplicate as bigint[]))
    as fresh (hour, stored, duplicate)
order by hour
on conflict (hour) do update
set stored = postback_books.stored + excluded.stored, duplicate = postback_books.duplicate + excluded.duplicate
