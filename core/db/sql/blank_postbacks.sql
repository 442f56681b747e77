-- Forget addresses and agents of postbacks before an id.
update postbacks
set ip = null, user_agent = ''
where id in (
    select id from postbacks
    where id < :before and (ip is not null or user_agent <> '')
    order by id
    limit :most
)
