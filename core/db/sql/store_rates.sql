-- Store the rates of a feed; what a person filled in stays as it is.
insert into exchange_rates (currency, day, rate, origin)
select currency, day, cast(rate as numeric), :origin
from unnest(cast(:currencies as text[]), cast(:days as date[]), cast(:rates as text[])) as fresh (currency, day, rate)
on conflict (currency, day) do update
set rate = excluded.rate
where exchange_rates.origin = :origin and exchange_rates.rate <> excluded.rate
