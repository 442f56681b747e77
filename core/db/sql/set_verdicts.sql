-- What was made of postbacks.
update postbacks
set verdict = made.verdict, why = made.why, reading = made.reading, judged_at = :now, attempts = made.attempts,
    next_try = made.next_try, click_id = made.click_id, transaction_id = made.transaction_id, event = made.event,
    status = made.status, amount = made.amount, currency = made.currency, conversion_id = made.conversion_id,
    terms = array(select json_array_elements_text(made.terms))
from json_to_recordset(cast(:rows as json)) as made (
    id uuid, verdict text, why jsonb, reading jsonb, attempts smallint, next_try timestamptz, click_id uuid,
    transaction_id text, event text, status text, amount numeric, currency text, conversion_id bigint, terms json
)
where postbacks.id = made.id
