import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Fact, Facts } from "../ui/facts.tsx";
import { Check, FormDialog } from "../ui/form_dialog.tsx";
import { Ago, Badge, Field, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { LockedOut } from "./locked_out.tsx";

const dayMs = 86_400_000;

/** The day of a time, as a date field has it. */
const dayOf = (time: number) => new Date(time).toLocaleDateString("sv");

/** Whether the organization requires a second factor, from when, and how resets are approved. */
export function Policy({ organization }: { organization: Organization }) {
  const { data: policy, error } = useQuery(queries.mfa.policy(organization.id));
  if (policy === undefined) {
    return error ? <Problem error={error} /> : (
      <div className="card">
        <Skeleton />
      </div>
    );
  }
  const from = policy?.required_from ?? null;
  const inForce = from !== null && Date.parse(from) <= Date.now();
  const approvalUntil = policy?.approval_until ?? null;
  return (
    <Section
      title="Policy"
      about={`It applies to all members of ${organization.name}, in every session.`}
      action={organization.permissions.includes("settings:write") && (
        <Change
          key={policy?.updated_at ?? ""}
          organization={organization}
          from={from}
          approval={policy?.reset_needs_approval ?? false}
        />
      )}
    >
      <div className="border-t border-line px-4 py-3">
        <Facts>
          <Fact name="Second factor">
            {from === null
              ? <Badge tone="warn">not required</Badge>
              : (
                <span className="flex flex-wrap items-center gap-2">
                  <Badge tone={inForce ? "good" : "warn"}>
                    {inForce ? "required" : "required soon"}
                  </Badge>
                  <span className="text-quiet">
                    {inForce ? "since" : "from"} {new Date(from).toLocaleString(undefined, {
                      dateStyle: "long",
                      timeStyle: "short",
                    })}, <Ago time={from} />
                  </span>
                </span>
              )}
          </Fact>
          <Fact name="Resets">
            {policy?.reset_needs_approval
              ? "need two people"
              : approvalUntil && Date.parse(approvalUntil) > Date.now()
              ? (
                <>
                  need two people, and one after this change is a day old (<Ago
                    time={approvalUntil}
                  />)
                </>
              )
              : "need one person"}
          </Fact>
        </Facts>
      </div>
    </Section>
  );
}

function Change({ organization, from, approval }: {
  organization: Organization;
  from: string | null;
  approval: boolean;
}) {
  const { data: me } = useQuery(queries.whoami());
  const set = useMutation(queries.mfa.setPolicy());
  const [required, setRequired] = useState(from !== null);
  const [now] = useState(Date.now);
  const given = from === null ? now + 14 * dayMs : Math.max(now, Date.parse(from));
  const shown = dayOf(given);
  const [day, setDay] = useState(shown);
  const isKept = from !== null && day === shown;
  const begins = isKept ? given : new Date(`${day}T00:00:00`).getTime();
  const submit = (form: FormData, close: () => void) => {
    const grace = Math.max(0, Math.ceil((begins - Date.now()) / 1000));
    const policy = {
      required,
      ...isKept ? {} : { grace_period: `${grace} seconds` },
      reset_needs_approval: form.has("approval"),
    };
    set.mutate([organization.id, policy], { onSuccess: close });
  };
  return (
    <FormDialog
      trigger="Change"
      title="The policy for second factors"
      action="Save"
      mutation={set}
      onSubmit={submit}
    >
      <Check
        label="Require a second factor"
        hint="From the day that you choose, sessions without one get no permission here."
        checked={required}
        onChange={({ target }) => setRequired(target.checked)}
      />
      {required && (
        <Field
          label="Required from"
          type="date"
          required
          min={dayOf(now)}
          max={dayOf(now + 90 * dayMs)}
          value={day}
          onChange={({ target }) => setDay(target.value)}
          hint="Today: at once. At most 90 days ahead. Those who join later add a factor at once."
        />
      )}
      {required && organization.permissions.includes("security:read") && (
        <LockedOut organization={organization} from={begins > now ? new Date(begins) : null} />
      )}
      {required && me && !me.mfa.enrolled && (
        <p role="status" className="rounded-md bg-warn-soft px-3 py-2 text-warn">
          You have no second factor yourself.{" "}
          <Link to="/account" className="underline">Add one</Link> before it is required.
        </p>
      )}
      <Check
        name="approval"
        label="Two people for a reset"
        hint="Nobody takes the second factors from a member alone."
        defaultChecked={approval}
      />
    </FormDialog>
  );
}
