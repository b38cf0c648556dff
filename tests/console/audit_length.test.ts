/** A long audit log in Chromium: it scrolls, and the document stays small. */
import assert from "node:assert/strict";
import { createBulwark, supabaseWith } from "../client/support.ts";
import { withSuperuser } from "../audit/support.ts";
import { browser } from "../foundation/browser.ts";
import { launch } from "../foundation/page.ts";
import { createOrganization, signUp, url } from "../support.ts";
import { holds, openConsoleAs } from "./support.ts";

const length = 100_000;

/** Entries of the last minutes, as they would have been written one by one. */
async function fill(organization: string, actor: string): Promise<void> {
  await withSuperuser((sql) =>
    sql.begin(async (sql) => {
      await sql`alter table bulwark.audit_logs disable trigger audit_logs_stamp`;
      await sql`
        insert into bulwark.audit_logs (
          id, xid, occurred_at, timeline, salt, source, severity, event_type, organization_id,
          actor_id, actor_type, action
        )
        select
          overlay(overlay(bulwark_private.audit_id_floor(t.at)::text placing '7' from 15)
            placing right(gen_random_uuid()::text, 17) from 20)::uuid,
          pg_current_xact_id(), t.at,
          (select max(timeline) from bulwark_private.audit_timelines), gen_random_uuid(),
          'client', 'info', 'data.read', ${organization}, ${actor}, 'user', 'read report ' || n
        from generate_series(1, ${length}::integer) as n
        cross join lateral (select now() - n * interval '1 millisecond' as at) t`;
      await sql`alter table bulwark.audit_logs enable always trigger audit_logs_stamp`;
    })
  );
}

Deno.test({
  name: "CONSOLE-E13: a log of 100,000 entries scrolls with under 60 rows in the document" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    const ada = await signUp("ada");
    const acme = await createOrganization(ada);
    await fill(acme, ada.id);
    const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });
    const { slug } = (await bulwark.organizations.get(acme))!;
    // The first request builds the console.
    await (await fetch(url)).body?.cancel();
    const chromium = await launch();
    try {
      const { page, faults } = await openConsoleAs(chromium, ada, `/o/${slug}/audit`);
      const rows = page.locator("[data-entry]");
      await rows.first().waitFor();
      const scroller = "document.querySelector('[aria-label=Entries]')";
      let most = await rows.count();
      for (let step = 1; step <= 20; step++) {
        await page.evaluate(`${scroller}.scrollTop = ${scroller}.scrollHeight`);
        // A page has 100 entries of 34 pixels.
        await holds(page, `${scroller}.scrollHeight >= ${(step + 1) * 3400}`);
        most = Math.max(most, await rows.count());
      }
      assert.ok(most > 10 && most < 60, `${most} rows`);
      const bottom = await rows.last().getAttribute("data-entry");
      await page.evaluate(`${scroller}.scrollTop = 0`);
      await holds(page, `!document.querySelector('[data-entry="${bottom}"]')`);
      assert.ok(await rows.count() < 60);
      // A day that does not exist is ignored in an address.
      await page.goto(`${url}/#/o/${slug}/audit?since=2026-99-99`);
      await page.reload();
      await rows.first().waitFor();
      assert.deepEqual(faults, []);
      await page.context().close();
    } finally {
      await chromium.close();
    }
  },
});
