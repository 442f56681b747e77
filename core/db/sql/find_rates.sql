-- The rate of each currency on each day: that of the last day not after it.
select wanted.currency, wanted.day, known.rate
from unnest(cast(:currencies as text[]), cast(:days as date[])) as wanted (currency, day)
join lateral (
    select exchange_rates.rate from exchange_rates
    where exchange_rates.currency = wanted.currency and exchange_rates.day <= wanted.day
    order by exchange_rates.day desc
    limit 1
) as known on true
