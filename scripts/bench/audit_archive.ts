/**
 * A month of the log that leaves the database, over HTTP through the function `bulwark-audit`: an export
 * of 50,000 entries, and the archive, which exports, verifies, writes Parquet, stores both and drops the
 * month: `npm run bench -- audit_archive`. The bucket is a server in the same process, so that the rate
 * is that of our work on one core, and of Postgres on the other.
 */
import S3rver from "@20minutes/s3rver";
import { fillPastMonth, makePastMonths } from "../audit/past_months.ts";
import { freePort } from "../stack/ports.ts";
import { makeScratchFolder } from "../stack/scratch.ts";
import { serveApi } from "./api.ts";
import { bench } from "./harness.ts";

const entries = 50_000;
const months = Array.from({ length: 24 }, (_, n) => {
  return `${2023 + Math.floor(n / 12)}-${String(n % 12 + 1).padStart(2, "0")}`;
});

export default bench({
  async setup(context) {
    const { postgres, admin, onStop, log } = context;
    const scratch = await makeScratchFolder("bench-bucket");
    const port = freePort();
    const bucket = new S3rver({
      ...{ address: "127.0.0.1", port, silent: true, directory: scratch.path },
      configureBuckets: [{ name: "archive" }],
    });
    await bucket.run();
    onStop(async () => {
      await bucket.close();
      await scratch.remove();
    });
    Deno.env.set("BULWARK_AUDIT_ARCHIVE", `http://127.0.0.1:${port}/archive/log`);
    Deno.env.set("BULWARK_AUDIT_ARCHIVE_KEY_ID", "S3RVER");
    Deno.env.set("BULWARK_AUDIT_ARCHIVE_SECRET", "S3RVER");
    const { origin, secrets } = await serveApi(context);
    await makePastMonths(postgres, months);

    const actor = crypto.randomUUID();
    await postgres`insert into auth.users (id, email) values (${actor}, 'ada@bench.test')`;
    const [made] = await postgres`
      select id from bulwark.create_organization('Bench', 'bench', ${actor})
    `;
    const organization: string = made!.id;
    await seal();

    const call = async (path: string, token: string, init: RequestInit = {}) => {
      const answer = await fetch(`${origin}/functions/v1/bulwark-audit/${path}`, {
        ...init,
        headers: {
          apikey: secrets.publishableKey,
          authorization: `Bearer ${token}`,
          "content-type": "application/json",
        },
      });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer;
    };
    async function seal(): Promise<void> {
      for (;;) {
        const [sealed] = await postgres`select bulwark.seal_audit_log() as number`;
        if (sealed!.number === null) return;
      }
    }
    const scheduled = async (path: string, body: object = {}) =>
      await (await call(path, secrets.schedulerSecret, {
        method: "POST",
        body: JSON.stringify(body),
      })).json();
    /** Fills a month, seals and signs it; returns the cursor at which it begins. */
    const fill = async (month: string) => {
      log(`${entries.toLocaleString("en")} entries in ${month}`);
      const [last] = await postgres`select max(number) as seal from bulwark_private.audit_seals`;
      await fillPastMonth(admin, { month, organization, actor, count: entries });
      await seal();
      const { tree_size } = await scheduled("checkpoint");
      await postgres`select bulwark.record_audit_delivery(tree_size => ${tree_size}, sink => 'bench')`;
      return `${Number(last!.seal) + 1}:0`;
    };

    let month = 0;
    return [
      {
        name: `an export of ${entries.toLocaleString("en")} entries`,
        unit: "entries/s",
        better: "higher",
        aim: {
          value: 20_000,
          cause:
            "The database makes the records of a page as JSON with their hashes, entry by entry; the " +
            "Data API and the function read and write them once more, one page after the other.",
        },
        async ours() {
          const cursor = await fill(months[month]!);
          const query = new URLSearchParams({
            format: "ndjson",
            organization_id: organization,
            cursor,
          });
          const start = performance.now();
          const answer = await call(`export?${query}`, secrets.secretKey);
          let lines = 0;
          for await (const chunk of answer.body!) {
            for (const byte of chunk) if (byte === 10) lines += 1;
          }
          const seconds = (performance.now() - start) / 1000;
          if (lines < entries) throw new Error(`${lines} lines of an export`);
          return entries / seconds;
        },
        peers: [],
      },
      {
        name: "a month archived, with its export, verification, Parquet and removal",
        unit: "entries/s",
        better: "higher",
        async ours() {
          const through = months[month++]!;
          const start = performance.now();
          for (;;) {
            const { archived, waiting, more } = await scheduled("archive", { through });
            if (waiting) throw new Error(`${through} waits for ${waiting.for}`);
            if (!more && archived.length === 1) break;
          }
          return entries / (performance.now() - start) * 1000;
        },
        peers: [],
      },
    ];
  },
});
