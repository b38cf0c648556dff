/** Events without user and organization, raised on many connections at once. */
import assert from "node:assert/strict";
import { connect } from "../support.ts";

Deno.test("SEC-R01: twenty new events about nobody at once stay within the limit", async () => {
  const sql = connect(20);
  await sql`
    insert into bulwark.security_event_types values ('races_only', 'low', 'Raised by a test')
  `;
  await sql`
    update bulwark.settings set value = '3' where name = 'security.open_events_about_nobody'
  `;
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 20 }, (_, place) =>
      sql`
        select bulwark.report_security_event('races_only', null, null, ${`${round}/${place}`})
      `.execute()));
  }
  await sql`select bulwark_private.count_deferred_security_events()`;
  const [row] = await sql`
    select count(*) filter (where subject <> 'others')::int as own, sum(occurrences)::int as raised
    from bulwark.security_events where event_type = 'races_only'
  `;
  await sql`
    update bulwark.settings set value = '1000' where name = 'security.open_events_about_nobody'
  `;
  assert.deepEqual({ ...row }, { own: 3, raised: 100 });
  await sql.end();
});
