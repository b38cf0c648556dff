import type { Enums } from "@bulwark/client";
import { useQuery } from "@tanstack/react-query";
import { useId, useRef, useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Check, Choice } from "../ui/form_dialog.tsx";

export interface Subscription {
  pattern: string;
  minimum_severity: Enums["audit_severity"];
}

const severities = ["debug", "info", "warning", "error", "critical"] as const;

/** The events of an endpoint: lines of a pattern and a severity. */
export function Subscriptions({ organization, given }: {
  organization: Organization;
  given: readonly Subscription[];
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const [lines, setLines] = useState(() => given.map((one, key) => ({ ...one, key })));
  const next = useRef(given.length);
  const id = useId();
  const { permissions } = organization;
  const [log, events] = [permissions.includes("audit:read"), permissions.includes("security:read")];
  const { data: types } = useQuery({ ...queries.audit.types(), enabled: log, staleTime: 600_000 });
  const { data: kinds } = useQuery({
    ...queries.security.types(),
    enabled: events,
    staleTime: 600_000,
  });
  const groups = new Set(types?.map(({ name }) => `audit.${name.split(".")[0]}.*`));
  return (
    <fieldset className="grid gap-2">
      <legend className="mb-1 font-medium">{t("Events")}</legend>
      <datalist id={id}>
        {log && events && <option value="*">{t("everything")}</option>}
        {log && <option value="audit.*">{t("all audit entries")}</option>}
        {events && <option value="security.*">{t("all security events")}</option>}
        {[...groups].map((name) => <option key={name} value={name} />)}
        {types?.map(({ name }) => <option key={name} value={`audit.${name}`} />)}
        {kinds?.map(({ name }) => <option key={name} value={`security.${name}`} />)}
      </datalist>
      {lines.map(({ key, pattern, minimum_severity }, index) => (
        <div key={key} className="flex flex-wrap gap-2">
          <input
            name="pattern"
            aria-label={t("Event {number}", { number: index + 1 })}
            list={id}
            required
            maxLength={160}
            defaultValue={pattern}
            className="field basis-full font-mono text-xs sm:flex-1 sm:basis-0"
          />
          <select
            name="severity"
            aria-label={t("From severity, event {number}", { number: index + 1 })}
            defaultValue={minimum_severity}
            className="field w-32 flex-1 sm:flex-none"
          >
            {severities.map((one) => (
              <option key={one} value={one}>
                {one === "debug"
                  ? t("any severity")
                  : one === "critical"
                  ? t(one)
                  : t("from {severity}", { severity: t(one) })}
              </option>
            ))}
          </select>
          <button
            type="button"
            className="button plain w-8 px-0"
            aria-label={t("Remove event {number}", { number: index + 1 })}
            disabled={lines.length === 1}
            onClick={() =>
              setLines(lines.filter((one) =>
                one.key !== key
              ))}
          >
            ×
          </button>
        </div>
      ))}
      <div className="flex items-center gap-3">
        <button
          type="button"
          className="button"
          disabled={lines.length >= 50}
          onClick={() =>
            setLines([...lines, { pattern: "", minimum_severity: "debug", key: next.current++ }])}
        >
          {t("Add events")}
        </button>
        <span className="text-xs text-quiet">{t("A type, or its beginning and an asterisk")}</span>
      </div>
    </fieldset>
  );
}

/** The subscriptions in a form. */
export function subscriptionsIn(form: FormData): Subscription[] {
  const chosen = form.getAll("severity") as Subscription["minimum_severity"][];
  return form.getAll("pattern").map((pattern, index) => ({
    pattern: String(pattern).trim(),
    minimum_severity: chosen[index] ?? "debug",
  }));
}

interface Options {
  ordering: Enums["webhook_ordering"];
  include_details: boolean;
  follow_redirects: boolean;
}

/** How deliveries are made. */
export function DeliveryOptions({ given }: { given: Options }) {
  const t = useText();
  return (
    <>
      <Choice
        label={t("Order")}
        name="ordering"
        defaultValue={given.ordering}
        options={{
          none: "As fast as possible",
          resource: "In order for each resource",
          endpoint: "All in order",
        }}
      />
      <Check
        name="include_details"
        label={t("Include details")}
        hint={t("Old and new values, addresses and user agents. Otherwise types and ids.")}
        defaultChecked={given.include_details}
      />
      <Check
        name="follow_redirects"
        label={t("Follow redirects")}
        hint={t("Up to three; each address is checked. Otherwise a redirect is a failure.")}
        defaultChecked={given.follow_redirects}
      />
    </>
  );
}

/** The options in a form. */
export function optionsIn(form: FormData): Options {
  return {
    ordering: form.get("ordering") as Options["ordering"],
    include_details: form.has("include_details"),
    follow_redirects: form.has("follow_redirects"),
  };
}
