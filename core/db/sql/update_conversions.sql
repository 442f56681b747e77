-- Write conversions that were changed. Their rows are locked.
update conversions
set ref_click = made.ref_click, transaction_id = made.transaction_id, event = made.event, repeat = made.repeat,
    status = made.status, is_rebill = made.is_rebill, is_late = made.is_late, at = made.at, click_id = made.click_id,
    link_id = made.link_id, rule = made.rule, variant = made.variant, clicked_at = made.clicked_at,
    attributed_by = made.attributed_by, currency = made.currency, revenue = made.revenue, payout = made.payout,
    cost = made.cost, customer_id = made.customer_id, coupon = made.coupon, fields = made.fields,
    version = made.version, updated_at = :now, rate = made.rate, report_revenue = made.report_revenue,
    report_payout = made.report_payout, report_cost = made.report_cost
from json_to_recordset(cast(:rows as json)) as made (
    id bigint, ref_click uuid, transaction_id text, event text, repeat int, status text, is_rebill boolean,
    is_late boolean, at timestamptz, click_id uuid, link_id bigint, rule bigint, variant bigint, clicked_at timestamptz,
    attributed_by text, currency text, revenue numeric, payout numeric, cost numeric, customer_id text, coupon text,
    fields jsonb, version int, rate numeric, report_revenue numeric, report_payout numeric, report_cost numeric
)
where conversions.id = made.id
