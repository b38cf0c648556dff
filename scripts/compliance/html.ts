import { controls } from "./controls.ts";
import type { Report, ReportSection, ShownReport } from "./shapes.ts";

/** Markup, as against text, which is escaped. */
class Html {
  constructor(readonly text: string) {}
}

type Content = string | number | boolean | null | undefined | Html | Content[];

/** A template of markup. Everything put into it is escaped: names come from the people named. */
function html(parts: TemplateStringsArray, ...values: Content[]): Html {
  return new Html(String.raw({ raw: parts }, ...values.map(escaped)));
}

const entities: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(value: Content): string {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(escaped).join("");
  if (value === null || value === undefined) return "–";
  return String(value).replaceAll(/[&<>"']/g, (found) => entities[found]!);
}

const style = `
  body { font: 10pt/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 60em; color: #1a1a1a }
  h1 { font-size: 17pt } h2 { font-size: 13pt; border-bottom: 1px solid #999; margin-top: 2em }
  table { border-collapse: collapse; width: 100%; margin: .5em 0; font-size: 8.5pt }
  th, td { border: 1px solid #ccc; padding: .2em .4em; text-align: left; vertical-align: top;
    overflow-wrap: anywhere }
  th { background: #f0f0f0 } .cut { color: #8a4b00 } .bad { color: #a00; font-weight: bold }
  pre { font-size: 8pt; white-space: pre-wrap; overflow-wrap: anywhere }
  @media print { body { margin: 0 } tr { break-inside: avoid } }
`;

/** A report as a page for people, without scripts and without anything to load. */
export function htmlOf({ report, sha256, note }: ShownReport): string {
  return html`
    <!doctype html>
    <html lang="en">
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
    <title>Compliance report: ${report.organization.name}</title>
    <style>${new Html(style)}</style>
    ${head(report, sha256)}
    ${access(report)}${mfa(report)}${apiKeys(report)}${reviews(report)}
    ${acts("grants", "Grants made and ended", report.grants)}
    ${acts("privileged", "Privileged acts", report.privileged)}
    ${keys(report)}${acts("keys", "Key rotations", report.keys)}
    ${retention(report)}${acts("retention", "Retention and erasures", report.retention)}
    ${events(report)}${acts("incidents", "Incidents in the log", report.incidents)}
    ${verification(report)}${log(report)}${index()}
    <h2>Signature</h2>
    ${note === null
      ? html`<p class="bad">This report is not signed.</p>`
      : html`<pre>${note}</pre>`}
    </html>
  `.text;
}

/** A time to the minute, in UTC. */
const minute = (time: string | null) =>
  time === null ? null : `${new Date(time).toISOString().slice(0, 16).replace("T", " ")}`;

const plural = (count: number, one: string, many = `${one}s`) =>
  `${count} ${count === 1 ? one : many}`;

function table(columns: string[], rows: Content[][]): Html {
  if (rows.length === 0) return html`<p>None.</p>`;
  const line = (cells: Content[]) =>
    html`
      <tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>
    `;
  return html`
    <table>
      <thead>
        <tr>${columns.map((name) => html`<th>${name}</th>`)}</tr>
      </thead>
      <tbody>${rows.map(line)}</tbody>
    </table>
  `;
}

const facts = (rows: [string, Content][]) =>
  html`<table>${
    rows.map(([name, value]) =>
      html`
        <tr>
          <th>${name}</th>
          <td>${value}</td>
        </tr>
      `
    )
  }</table>`;

const cut = (isCut: boolean, words: string) => isCut ? html`<p class="cut">${words}</p>` : "";

function head(report: Report, sha256: string): Html {
  return html`
    <h1>Compliance report: ${report.organization.name}</h1>
    ${facts([
      ["Organization", `${report.organization.id} (${report.organization.slug})`],
      ["Range", `${minute(report.since)} to ${minute(report.until)} (UTC)`],
      ["Made", `${minute(report.made_at)} by ${report.made_by ?? "the operator"}`],
      ["Entry in the audit log", report.entry],
      ["SHA-256 of the signed text", sha256],
      ["Bulwark", `${report.version}: ${report.capabilities.join(", ")}`],
    ])}
  `;
}

function access({ access }: Report): Html {
  const { members } = access;
  return html`<h2 id="access">Access</h2>
<p>${plural(access.members_total, "member")}, with ${
    plural(access.administrators, "administrator")
  } among them; ${plural(access.super_admins, "operator")} of the installation; ${
    plural(access.pending_invitations, "pending invitation")
  }.</p>
${
    table(
      ["Member", "Since", "Roles", "Second factor", "Last sign-in", "Suspended"],
      members.map((member) => [
        member.email ?? member.user_id,
        minute(member.member_since),
        member.roles.map(({ role, starts_at, expires_at, active }) =>
          html`${role} since ${minute(starts_at)}${
            expires_at ? ` until ${minute(expires_at)}` : ""
          }${active ? "" : " (not active)"}<br>`
        ),
        yes(member.mfa_enrolled),
        minute(member.last_sign_in_at),
        yes(member.suspended),
      ]),
    )
  }
${cut(access.members_cut, `Only the first ${members.length} members are listed.`)}`;
}

const yes = (value: boolean | null) => value === null ? null : value ? "yes" : "no";

function mfa({ mfa }: Report): Html {
  const share = mfa.members === 0 ? 100 : Math.floor(100 * mfa.enrolled / mfa.members);
  return html`<h2 id="mfa">Second factors</h2>
<p>Enrolled: ${mfa.enrolled} of ${plural(mfa.members, "member")} (${share} %). Required
${mfa.required_from ? `since ${minute(mfa.required_from)}` : "of nobody"}.
Without one: ${mfa.missing.join(", ") || "nobody"}.</p>
${cut(mfa.members_cut, "Only the first 10,000 members are counted.")}
${cut(mfa.missing_cut, `Only ${mfa.missing.length} are listed.`)}`;
}

function apiKeys({ api_keys }: Report): Html {
  return html`<h2 id="api_keys">API keys</h2>
${
    facts([
      ["In force", api_keys.in_force],
      ["Older than 30 / 90 / 180 days", [
        api_keys.older_than_30_days,
        " / ",
        api_keys.older_than_90_days,
        " / ",
        api_keys.older_than_180_days,
      ]],
      ["Never used", api_keys.never_used],
      ["Unused for 90 days", api_keys.unused_for_90_days],
      ["Issued without a second factor", api_keys.issued_without_mfa],
    ])
  }
${
    table(
      ["Key", "Owner", "Effective scopes", "Created", "Expires", "Last used"],
      api_keys.keys.map((key) => [
        `${key.name} (${key.first_characters}…)`,
        key.owner_id,
        key.effective_scopes.join(", "),
        minute(key.created_at),
        minute(key.expires_at),
        minute(key.last_used_at),
      ]),
    )
  }
${cut(api_keys.in_force_cut, "Only the oldest 10,000 are counted.")}
${cut(api_keys.keys_cut, `Only the newest ${api_keys.keys.length} are listed.`)}`;
}

function reviews({ reviews }: Report): Html {
  return html`<h2 id="reviews">Access reviews</h2>
<p>${reviews.open} open, ${reviews.overdue} of them overdue; the last was closed
${minute(reviews.last_closed_at) ?? "never"}.</p>
${
    table(
      ["Review", "Started", "Due", "Closed", "Undecided", "Kept", "Ended", "Gone", "Reviewers"],
      reviews.reviews.map((review) => [
        review.name,
        minute(review.started_at),
        minute(review.due_at),
        minute(review.closed_at),
        `${review.totals.undecided} of ${review.totals.items}`,
        review.totals.kept,
        review.totals.ended,
        review.totals.gone,
        review.reviewers.join(", "),
      ]),
    )
  }
${cut(reviews.reviews_cut, `Only the newest ${reviews.reviews.length} are listed.`)}`;
}

function acts(id: string, title: string, { total, entries }: ReportSection): Html {
  return html`<h2 id="${id}">${title}</h2>
${
    table(
      ["Time", "Act", "By", "On", "Whom", "Result", "Entry"],
      entries.map((entry) => [
        minute(entry.at),
        [entry.type, entry.action, entry.kind].filter(Boolean).join(" / ") +
        (entry.entries === undefined ? "" : `, ${plural(entry.entries, "entry", "entries")}`) +
        (entry.reason ? `: ${entry.reason}` : ""),
        entry.payload_removed ? "removed" : [entry.actor_type ?? "", " ", entry.actor_id ?? ""],
        [entry.resource_type ?? "", " ", entry.resource_id ?? ""],
        entry.user_id,
        entry.result,
        entry.id,
      ]),
    )
  }
${cut(total > entries.length, `The newest ${entries.length} of ${total} entries are listed.`)}`;
}

function keys({ keys_in_use: { data_keys, data_keys_total, ...keys } }: Report): Html {
  return html`<h2 id="keys_in_use">Keys in use</h2>
${
    table(
      ["Data key", "State", "Wrapped by", "Created", "Superseded", "Destroyed"],
      data_keys.map((key) => [
        `${key.purpose} ${key.version}`,
        key.state,
        key.kek,
        minute(key.created_at),
        minute(key.superseded_at),
        minute(key.destroyed_at),
      ]),
    )
  }
${cut(data_keys_total > data_keys.length, `${data_keys.length} of ${data_keys_total} are listed.`)}
${
    table(
      ["Key-encryption key", "Registered", "Current"],
      keys.key_encryption_keys.map(({ id, registered_at, current }) => [
        id,
        minute(registered_at),
        yes(current),
      ]),
    )
  }
${
    table(
      ["Signing key of the log", "Name", "Registered"],
      keys.signing_keys.map(({ key_id, name, registered_at }) => [
        key_id,
        name,
        minute(registered_at),
      ]),
    )
  }`;
}

function retention({ retention_rules: { settings, holds_in_force, archived_months } }: Report) {
  return html`<h2 id="retention_rules">Retention rules and legal holds</h2>
${facts(Object.entries(settings).sort().map(([name, value]) => [name, JSON.stringify(value)]))}
${
    table(
      ["Legal hold", "Placed", "By", "On"],
      holds_in_force.map((hold) => [
        hold.id,
        minute(hold.placed_at),
        hold.placed_by ?? "the operator",
        hold.subject_id ?? hold.resource_type ?? "the organization",
      ]),
    )
  }
<p>Archived months: ${archived_months.join(", ") || "none"}.</p>`;
}

function events({ events }: Report): Html {
  return html`<h2 id="events">Security events</h2>
${
    facts([
      ["Open", events.open],
      ...Object.entries(events.open_by_severity).map(([severity, count]) =>
        [`Open, ${severity}`, count] as [string, Content]
      ),
      ["Open and assigned to nobody", events.unassigned],
      ["Oldest open", minute(events.oldest_open_at)],
      ["Raised in the range", events.raised_in_range],
      ["Resolved in the range", events.resolved_in_range],
      ["Median hours to resolve", events.median_hours_to_resolve],
    ])
  }
${
    table(
      ["Event", "Severity", "Raised", "Times", "Assigned to", "Id"],
      events.open_events.map((event) => [
        event.event_type,
        event.severity,
        minute(event.raised_at),
        event.occurrences,
        event.assigned_to,
        event.id,
      ]),
    )
  }
${cut(events.events_cut, "Only the newest 20,000 events are counted.")}
${cut(events.open_events_cut, `Only the newest ${events.open_events.length} are listed.`)}`;
}

function verification({ verification }: Report): Html {
  const { verdict, checkpoint, coverage } = verification;
  const sound = verdict.intact && verdict.complete;
  return html`<h2 id="verification">Verification of the audit log</h2>
<p class="${sound ? "good" : "bad"}">${
    sound
      ? "Nothing in the verified part was altered, and nothing is missing."
      : `The log did NOT verify: ${verdict.problem}.`
  }</p>
${
    facts([
      ["Entries and seals checked", `${verdict.entries_checked} and ${verdict.seals_checked}`],
      ["Payloads removed under a record", verdict.payloads_removed],
      ["Sealed until", minute(coverage.sealed_until)],
      ["Signed until", minute(coverage.signed_until)],
      ["Open alarms of the log", verification.open_alarms],
      [
        "Newest checkpoint",
        checkpoint && `${plural(checkpoint.tree_size, "seal")}, key ${checkpoint.key_id}`,
      ],
      ["Signed", checkpoint && minute(checkpoint.signed_at)],
      ["Delivered", checkpoint && `${minute(checkpoint.delivered_at) ?? "no"}, ${checkpoint.sink}`],
    ])
  }
${
    cut(
      !verdict.whole_range,
      "Only a part of the range was verified here: run verify-audit on an export.",
    )
  }
${checkpoint ? html`<pre>${checkpoint.note}</pre>` : ""}`;
}

function log({ log }: Report): Html {
  return html`<h2 id="log">Entries of the range</h2>
<p>${plural(log.entries, "entry", "entries")}.</p>
${
    cut(
      !log.complete,
      `The log was read from ${
        minute(log.read_since)
      } on: ask for the time before in a report of its own.`,
    )
  }
${
    table(
      ["Type", "Result", "Number"],
      log.by_type.map(({ type, result, count }) => [
        type,
        result,
        count,
      ]),
    )
  }`;
}

/** Where the evidence of each control is. */
function index(): Html {
  return html`<h2>By control</h2>
${
    table(
      ["Control", "Evidence in this report"],
      controls.map(({ id, title, parts }) => [
        `${id} ${title}`,
        parts.length === 0 ? "none here: it is the hosting provider's" : parts.map((part) =>
          html`
            <a href="#${part}">${part}</a>
          `
        ),
      ]),
    )
  }`;
}
