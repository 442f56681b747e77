-- Count the conversions of a currency (all: '') from a day on again, where the rate of their day is another one now.
update conversions
set rate = fresh.rate, report_revenue = conversions.revenue * fresh.rate,
    report_payout = conversions.payout * fresh.rate, report_cost = conversions.cost * fresh.rate
from (
    select made.id, known.rate
    from conversions as made
    left join lateral (
        select case
            when made.currency = :report_currency then 1
            else (
                select exchange_rates.rate from exchange_rates
                where exchange_rates.currency = made.currency
                and exchange_rates.day <= cast(made.at at time zone 'UTC' as date)
                order by exchange_rates.day desc
                limit 1
            )
        end as rate
    ) as any_rate on true
    left join lateral (
        select any_rate.rate where greatest(made.revenue, made.payout, made.cost) * any_rate.rate < :too_much
    ) as known on true
    where (:currency = '' or made.currency = :currency) and made.at >= cast(:since as timestamptz)
    and known.rate is distinct from made.rate
    order by made.id
    for update of made
) as fresh
where conversions.id = fresh.id
