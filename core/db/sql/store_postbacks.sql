-- Write down the postbacks that are not there yet; their ids. In the order of the ids.
insert into postbacks (
    id, source_id, kind, method, host, query, content_type, body, headers, ip, user_agent, referrer, token_hint,
    refused, answered, size, stored_at
)
select
    id, source_id, kind, method, host, query, content_type, decode(body, 'base64'), headers, ip, user_agent, referrer,
    token_hint, refused, answered, size, :now
from json_to_recordset(cast(:rows as json)) as came (
    id uuid, source_id bigint, kind smallint, method text, host text, query text, content_type text, body text,
    headers jsonb, ip inet, user_agent text, referrer text, token_hint text, refused text, answered smallint, size int
)
on conflict do nothing
returning id
