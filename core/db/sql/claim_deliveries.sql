-- Takes deliveries that are due for one worker, until :until. Webhooks take turns, so that none holds up the others:
-- each has at most :each on their way, one that fails only one at a time, with pauses. Of a conversion's statuses the earlier is told first.
-- Tests wait for nobody: a person looks at them.
with room as (
    select webhooks.id,
           case when webhooks.failures > 0 then 1 else :each end - (
               select count(*) from webhook_deliveries as sent
               where sent.webhook_id = webhooks.id and sent.leased_until > :now
           ) as free
    from webhooks
    where webhooks.is_active and (webhooks.paused_until is null or webhooks.paused_until <= :now)
), due as (
    select found.id, found.next_try, room.free,
           row_number() over (partition by room.id order by found.next_try, found.id) as turn
    from room
    cross join lateral (
        select delivery.id, delivery.next_try
        from webhook_deliveries as delivery
        where delivery.webhook_id = room.id and delivery.next_try <= :now
          and (delivery.leased_until is null or delivery.leased_until <= :now)
          and not exists (
              select 1 from webhook_deliveries as earlier
              where earlier.conversion_id = delivery.conversion_id and earlier.webhook_id = delivery.webhook_id
                and earlier.next_try is not null and earlier.id < delivery.id
          )
        order by delivery.next_try, delivery.id
        limit :each
    ) as found
    union all
    select tried.id, tried.next_try, 1, 0
    from webhook_deliveries as tried
    where tried.kind = 'test' and tried.next_try <= :now
      and (tried.leased_until is null or tried.leased_until <= :now)
), chosen as (
    select delivery.id
    from webhook_deliveries as delivery
    where delivery.id = any (array(
              select due.id from due where due.turn <= due.free order by due.turn, due.next_try limit :most
          ))
      and delivery.next_try <= :now and (delivery.leased_until is null or delivery.leased_until <= :now)
    for update skip locked
)
update webhook_deliveries as delivery
set leased_until = :until
from chosen, webhooks
where delivery.id = chosen.id and webhooks.id = delivery.webhook_id
returning delivery.id, delivery.webhook_id, delivery.conversion_id, delivery.status, delivery.kind, delivery.attempts,
          delivery.next_try, webhooks.url, webhooks.body, webhooks.secret, webhooks.settings
