-- Insert the conversions that are not there yet; what was inserted. In the order of the key,
-- so that those who insert the same ones wait for one another instead of locking each other out.
insert into conversions (
    source_id, ref_click, transaction_id, event, repeat, status, is_rebill, is_late, at, click_id, link_id, rule,
    variant, clicked_at, attributed_by, currency, revenue, payout, cost, customer_id, coupon, fields, version,
    created_at, updated_at, rate, report_revenue, report_payout, report_cost
)
select
    source_id, ref_click, transaction_id, event, repeat, status, is_rebill, is_late, at, click_id, link_id, rule,
    variant, clicked_at, attributed_by, currency, revenue, payout, cost, customer_id, coupon, fields, version,
    :now, :now, rate, report_revenue, report_payout, report_cost
from json_to_recordset(cast(:rows as json)) as made (
    source_id bigint, ref_click uuid, transaction_id text, event text, repeat int, status text, is_rebill boolean,
    is_late boolean, at timestamptz, click_id uuid, link_id bigint, rule bigint, variant bigint, clicked_at timestamptz,
    attributed_by text, currency text, revenue numeric, payout numeric, cost numeric, customer_id text, coupon text,
    fields jsonb, version int, rate numeric, report_revenue numeric, report_payout numeric, report_cost numeric
)
order by source_id, ref_click, transaction_id, event, repeat
on conflict do nothing
returning id, source_id, ref_click, transaction_id, event, repeat
