/**
 * `npm run export-audit -- <organization id> --out <file>`: exports an organization's whole audit
 * log, following the cursor to its end, or a period of it.
 *
 *   --format ndjson|csv|json|ocsf   ndjson, which npm run verify-audit verifies, by default
 *   --after <cursor>                goes on where an earlier export ended
 *   --period <from>/<to>            all that was sealed in this period, and one entry on each side of it
 *   --system                        the entries without an organization, instead of an id
 *
 * NDJSON comes from the function `bulwark-audit`, which signs where it begins and ends. What is there already
 * of one that was stopped (`<file>.part`) is kept: the same command goes on after the last whole part
 * of it. The other formats and periods begin anew.
 *
 * Ends with 0 where everything was exported, 1 where something failed, and 2 where there was nothing
 * to export, or where the arguments are wrong.
 *
 * The environment says where and as whom: SUPABASE_URL, and either SUPABASE_SECRET_KEY or
 * SUPABASE_PUBLISHABLE_KEY with BULWARK_EMAIL and BULWARK_PASSWORD.
 */
import { createClient } from "@supabase/supabase-js";
import type { CallerClient } from "../supabase/functions/_bulwark/foundation/caller.ts";
import { hasReached, sizeOf, type Span } from "../clients/js/src/period.ts";
import type { Database } from "../supabase/functions/_bulwark/foundation/database.types.ts";
import {
  type ExportSource,
  exportSource,
  startExport,
} from "../supabase/functions/_bulwark/audit/export.ts";
import { exportFormat, exportFormats } from "../supabase/functions/_bulwark/audit/formats.ts";
import { openDraft } from "./audit/draft.ts";
import { type Arrived, type AuditFunction, fetchBundle, followed } from "./audit/fetching.ts";
import { periodForm, periodOption, type Times } from "./audit/period.ts";
import { progressLine } from "./audit/progress.ts";
import { parseArguments, wrongUsage } from "./stack/arguments.ts";
import { Failure, reason } from "./stack/failure.ts";
import { main } from "./stack/main.ts";

const usage = "npm run export-audit -- <organization id> --out <file> " +
  `[--format ndjson|csv|json|ocsf] [--after <cursor> | ${periodForm}] [--system]`;
/** The most entries of one request. */
const largest = 50_000;

await main(async () => {
  const { organization_id, out, format, period, ...asked } = readArguments();
  const { client, endpoint } = await signIn();
  const span = period && await spanOf(client, organization_id, period);
  const cursor = span?.after ?? asked.cursor;
  const isBundle = format.proved !== null;
  const progress = progressLine();
  const started = performance.now();
  // Renamed only once it is complete.
  const draft = await openDraft(
    `${out}.part`,
    isBundle && !span ? { organization: organization_id, after: cursor } : null,
  );
  const arrived: Arrived = {
    entries: 0,
    next: null,
    cursor: draft.next ?? cursor,
    isWhole: draft.isWhole,
  };
  if (draft.next) console.error(`Going on after ${arrived.cursor}, where ${out}.part ends`);
  const show = ({ entries, cursor }: Arrived) =>
    progress.update(`${entries.toLocaleString()} entries, up to ${cursor}`);
  try {
    if (isBundle) {
      // The function signs its exports. The file consists of several whole ones, so at most the
      // last is lost.
      for (let next = arrived.cursor; !arrived.isWhole; next = arrived.next) {
        const limit = span ? sizeOf(span, arrived.entries, largest) : undefined;
        const body = await fetchBundle(endpoint, organization_id, next, limit);
        await draft.append(followed(body, arrived, show));
        arrived.isWhole ||= hasReached(arrived.next ?? arrived.cursor, span);
      }
    } else {
      const source = watched(exportSource(client, organization_id), arrived, show);
      const limit = span?.through ? span.entries : Number.MAX_SAFE_INTEGER;
      const options = { format, organization_id, cursor, limit, signers: [] };
      await draft.append((await startExport(source, options)).body);
      // JSON ends early if a page fails.
      if (!arrived.isWhole && arrived.entries < limit) {
        throw new Failure("BROKEN_OFF", "a page could not be read");
      }
    }
    await draft.finish(out);
  } catch (thrown) {
    const goOn = isBundle
      ? "the same command goes on"
      : `what arrived is in ${out}.part, and --after ${arrived.cursor} goes on`;
    throw new Failure("EXPORT_FAILED", `Cannot export the audit log: ${reason(thrown)}; ${goOn}`);
  } finally {
    progress.end();
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${arrived.entries.toLocaleString()} entries in ${out}, ${seconds} s`);
  if (arrived.entries === 0 && draft.next === null) {
    const where = cursor === null ? "" : ` after ${cursor}`;
    console.error(`Nothing was exported: no entry is sealed${where}. Is it the right log?`);
    return 2;
  }
  if (arrived.cursor && !span) {
    console.log(`What is sealed later begins at --after ${arrived.cursor}`);
  }
});

/** The part of the log from which a period can be proved. */
async function spanOf(
  client: CallerClient,
  organization_id: string | null,
  period: Times,
): Promise<Span> {
  const asked = organization_id === null ? period : { organization_id, ...period };
  const { data, error } = await client.rpc("audit_period", asked).single();
  if (error) {
    throw new Failure(error.details || "EXPORT_FAILED", `Cannot export: ${error.message}`);
  }
  return data;
}

/** A source whose pages are counted. */
function watched(
  source: ExportSource,
  arrived: Arrived,
  show: (arrived: Arrived) => void,
): ExportSource {
  return {
    ...source,
    async page(...asked) {
      const page = await source.page(...asked);
      arrived.entries += page.groups.reduce((sum, { entries }) => sum + entries.length, 0);
      arrived.cursor = page.cursor ?? arrived.cursor;
      arrived.isWhole = page.next === null;
      show(arrived);
      return page;
    },
  };
}

function readArguments() {
  const { values, positionals } = parseArguments(
    {
      out: { type: "string" },
      format: { type: "string", default: "ndjson" },
      after: { type: "string" },
      period: { type: "string" },
      system: { type: "boolean", default: false },
    },
    usage,
    { positionals: 1 },
  );
  const [organization] = positionals;
  if (!values.out) throw wrongUsage("A file is needed (--out)", usage);
  if (positionals.length !== (values.system ? 0 : 1)) {
    throw wrongUsage("Either an organization or --system is needed", usage);
  }
  if (values.period !== undefined && values.after !== undefined) {
    throw wrongUsage("--period excludes --after", usage);
  }
  return {
    period: periodOption(values.period, usage),
    organization_id: organization?.toLowerCase() ?? null,
    out: values.out,
    format: formatOption(values.format),
    cursor: values.after ?? null,
  };
}

function formatOption(name: string) {
  const known = exportFormats.find((format) => format === name);
  if (known) return exportFormat(known);
  throw wrongUsage(`The formats are ${exportFormats.join(", ")}`, usage);
}

async function signIn(): Promise<{ client: CallerClient; endpoint: AuditFunction }> {
  const options = {
    db: { schema: "bulwark" as const },
    auth: { persistSession: false, autoRefreshToken: true, detectSessionInUrl: false },
  };
  const url = setting("SUPABASE_URL").replace(/\/+$/, "");
  if (!/^https?:/.test(url) || !URL.canParse(url)) {
    throw new Failure("NO_SETTING", "Cannot export the audit log: SUPABASE_URL is no URL", 2);
  }
  const secretKey = Deno.env.get("SUPABASE_SECRET_KEY");
  if (secretKey) {
    const token = () => Promise.resolve(secretKey);
    const client = createClient<Database>(url, secretKey, options);
    return { client, endpoint: { url, token, publishableKey: null } };
  }
  const publishableKey = setting("SUPABASE_PUBLISHABLE_KEY");
  const client = createClient<Database>(url, publishableKey, options);
  const { error } = await client.auth.signInWithPassword({
    email: setting("BULWARK_EMAIL"),
    password: setting("BULWARK_PASSWORD"),
  });
  if (error) throw new Failure("SIGN_IN", `Cannot sign in: ${error.message}`);
  const token = async () => (await client.auth.getSession()).data.session?.access_token ?? "";
  return { client, endpoint: { url, token, publishableKey } };
}

function setting(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Failure("NO_SETTING", `Cannot export the audit log: ${name} is not set`, 2);
  return value;
}
