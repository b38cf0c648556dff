import type { BulwarkError } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import type { LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { queries } from "../connection.ts";
import { type Organization, placesOf } from "../organization.tsx";
import { projectPlacesOf } from "../project.tsx";
import { count } from "../ui/count.ts";
import { Ago, Explanation } from "../ui/parts.tsx";
import type { Standing } from "../ui/mark.tsx";
import { keptKeys, keysIn } from "../verify/trusted_keys.ts";

/** A line of the overview; its standing is null while it is asked. */
export interface Check {
  name: string;
  standing: Standing | null;
  text: ReactNode;
  /** The screen where something can be done about it. */
  to: NonNullable<LinkProps["to"]> | null;
}

type Finding = [Standing, ReactNode];

/** A screen that stays open asks once a minute. */
const often = { refetchInterval: 60_000 };
const soon = 14 * 86_400_000;
const number = new Intl.NumberFormat();

/** The checks of an organization that are open to the person. */
export function useChecks(organization: Organization): Check[] {
  const log = useLog(organization);
  const checks = [
    log,
    useEvents(organization),
    useMembers(organization),
    useKeys(organization),
    useWebhooks(organization),
    useJobs(),
    useAccount(organization),
  ];
  return checks.filter((check) => check !== null);
}

/** The first of these screens that is open to the person. */
function screenOf(organization: Organization, ...names: string[]): Check["to"] {
  const open = placesOf(organization).map(({ to }) => to);
  return names.flatMap((name) => open.filter((to) => to.endsWith(`/${name}`)))[0] ?? null;
}

function check<Data>(
  name: string,
  to: Check["to"],
  { data, error }: { data: Data | undefined; error: BulwarkError | null },
  judge: (data: Data) => Finding,
): Check {
  if (error) return { name, to, standing: "unknown", text: <Explanation error={error} /> };
  if (data === undefined) return { name, to, standing: null, text: null };
  const [standing, text] = judge(data);
  return { name, to, standing, text };
}

function useLog({ id, permissions }: Organization): Check | null {
  const enabled = permissions.includes("audit:read");
  const coverage = useQuery({ ...queries.audit.coverage(id), ...often, enabled });
  const checkpoint = useQuery({ ...queries.audit.checkpoint(), ...often, enabled });
  if (!enabled) return null;
  const error = coverage.error ?? checkpoint.error;
  const data = coverage.data && checkpoint.data && { ...coverage.data, ...checkpoint.data };
  return check("Audit log", "/o/$slug/verify", { data, error }, (found): Finding => {
    const { newest_entry, signed_until, signed_entries, note, keys } = found;
    const kept = keysIn(keptKeys());
    if (kept.length > 0 && !kept.some((key) => keys.includes(key))) {
      return ["bad", "The project signs with other keys than those that you trust."];
    }
    if (newest_entry === null) return ["good", "No entry yet."];
    if (signed_until === null) return ["look", "No entry is signed yet."];
    const by = /^— (\S+) /m.exec(note ?? "")?.[1] ?? "the project";
    const waits = Date.parse(newest_entry) - Date.parse(signed_until);
    const late = waits > 0 && Date.now() - Date.parse(signed_until) > 15 * 60_000;
    const text = (
      <>
        {count(signed_entries, "entry", "entries")} signed, the newest <Ago time={signed_until} />,
        {" "}
        by {by}, {kept.length > 0 ? "a key that you trust" : "a key that the project told"}.
        {late && " Newer entries wait for a signature."}
      </>
    );
    return [late ? "look" : "good", text];
  });
}

const bySeverity = ["critical", "high", "medium", "low"] as const;

function useEvents(organization: Organization): Check | null {
  const { id, permissions } = organization;
  const enabled = permissions.includes("security:read");
  const events = useQuery({
    ...queries.security.list(id, { page_size: 1000 }),
    ...often,
    enabled,
  });
  if (!enabled) return null;
  return check("Security events", screenOf(organization, "events"), events, (open) => {
    const found = bySeverity.map((severity) => {
      const amount = open.filter((one) => one.severity === severity).length;
      return amount > 0 ? `${number.format(amount)} ${severity}` : null;
    }).filter(Boolean);
    if (found.length === 0) return ["good", "No event is open."];
    const urgent = open.some(({ severity }) => severity === "critical" || severity === "high");
    return [urgent ? "bad" : "look", `Open: ${found.join(", ")}.`];
  });
}

function useMembers(organization: Organization): Check | null {
  const { id, permissions } = organization;
  const enabled = permissions.includes("security:read");
  const missing = useQuery({
    ...queries.mfa.compliance(id, { state: "missing", page_size: 1000 }),
    ...often,
    enabled,
  });
  if (!enabled) return null;
  return check("Second factors", screenOf(organization, "mfa", "members"), missing, (members) => {
    const amount = count(members.length, "member has", "members have", 1000);
    const required = members[0]?.required_from;
    if (members.length === 0) return ["good", "Every member has one."];
    if (members.some(({ overdue }) => overdue)) {
      return ["bad", `${amount} none, although the organization requires it.`];
    }
    return [
      "look",
      required
        ? (
          <>
            {amount} none; it is required <Ago time={required} />.
          </>
        )
        : `${amount} none.`,
    ];
  });
}

function useKeys({ id, permissions }: Organization): Check | null {
  const enabled = permissions.includes("api_key:read");
  const keys = useQuery({ ...queries.apiKeys.list(id, { page_size: 1000 }), ...often, enabled });
  if (!enabled) return null;
  return check("API keys", "/o/$slug/keys", keys, (list) => {
    if (list.length === 0) return ["good", "No key is in force."];
    // A key that was rotated ends as it should: its successor goes on.
    const rotated = new Set(list.map(({ rotated_from }) => rotated_from));
    const ending = list.filter(({ id: key, expires_at }) =>
      !rotated.has(key) && Date.parse(expires_at) < Date.now() + soon
    );
    const suspended = list.filter(({ status }) => status === "suspended");
    const first = ending.map(({ expires_at }) => expires_at).sort()[0];
    if (!first && suspended.length === 0) {
      return ["good", `${count(list.length, "key", "keys", 1000)}; none ends within 14 days.`];
    }
    const text = (
      <>
        {first && (
          <>
            {count(ending.length, "key ends", "keys end")} within 14 days, the first{" "}
            <Ago time={first} />.{" "}
          </>
        )}
        {suspended.length > 0 &&
          `${count(suspended.length, "key is", "keys are")} suspended: ${owners(suspended)}.`}
      </>
    );
    return ["look", text];
  });
}

function owners(suspended: readonly unknown[]): string {
  return suspended.length === 1 ? "its owner may not do this now" : "their owners may not do this";
}

function useWebhooks(organization: Organization): Check | null {
  const { id, permissions } = organization;
  const enabled = permissions.includes("webhook:read");
  const stats = useQuery({ ...queries.webhooks.stats(id), ...often, enabled });
  if (!enabled) return null;
  return check("Webhooks", screenOf(organization, "webhooks"), stats, (endpoints) => {
    const failing = endpoints.filter(({ state, failing_since }) =>
      failing_since !== null || state === "failing" || state === "gone"
    );
    const dead = endpoints.reduce((sum, one) => sum + one.dead, 0);
    const amount = count(endpoints.length, "endpoint", "endpoints");
    if (failing.length > 0) {
      const fail = failing.length === 1 ? "fails" : "fail";
      return ["bad", `${number.format(failing.length)} of ${amount} ${fail}: ${namesOf(failing)}.`];
    }
    if (dead > 0) {
      return [
        "look",
        `${count(dead, "delivery was", "deliveries were")} given up since yesterday.`,
      ];
    }
    return ["good", endpoints.length === 0 ? "No endpoint." : `${amount}; none fails.`];
  });
}

function namesOf(endpoints: readonly { name: string }[]): string {
  const names = endpoints.slice(0, 3).map(({ name }) => name);
  return names.join(", ") + (endpoints.length > 3 ? " and others" : "");
}

const parts: Record<string, string> = {
  jobs: "jobs are late",
  seals: "entries wait for a seal",
  checkpoints: "seals wait for a signature",
  verification: "the audit log did not verify",
};

function useJobs(): Check | null {
  const { data: me } = useQuery(queries.whoami());
  const enabled = me?.permissions.includes("system:monitor") ?? false;
  const screen = me ? projectPlacesOf(me).find(({ to }) => to.endsWith("/settings"))?.to : null;
  const health = useQuery({ ...queries.metrics.health(), ...often, enabled });
  if (!enabled) return null;
  return check("Jobs of the project", screen ?? null, health, (found) => {
    const faults = found.filter(({ healthy }) => !healthy).map(({ name }) => parts[name] ?? name);
    if (faults.length === 0) return ["good", "All jobs run, and the log is sealed and signed."];
    return ["bad", `Now: ${faults.join("; ")}.`];
  });
}

/** Everybody has an account of their own to protect. */
function useAccount({ mfa_required, mfa_required_from, mfa_met }: Organization): Check | null {
  const me = useQuery(queries.whoami());
  return check("Your account", "/account", me, ({ mfa }) => {
    if (mfa.enrolled) return ["good", "It has a second factor."];
    if (mfa_required && !mfa_met) {
      return ["bad", "It has no second factor, which this organization requires."];
    }
    return [
      "look",
      mfa_required_from
        ? (
          <>
            It has no second factor; this organization requires one{" "}
            <Ago time={mfa_required_from} />.
          </>
        )
        : "It has no second factor.",
    ];
  });
}
