-- Further versions of conversions.
insert into conversion_history (conversion_id, version, at, actor, action, status, changed)
select conversion_id, version, :now, actor, action, status, changed
from json_to_recordset(cast(:rows as json)) as made (
    conversion_id bigint, version int, actor text, action text, status text, changed jsonb
)
