import type { Rows } from "@bulwark/client";
import { useMutation, useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Ago, Line, Problem } from "../ui/parts.tsx";

type Reset = Rows["mfa_resets"];

/** Whether a reset can still be approved or cancelled. */
export function isOpen({ completed_at, cancelled_at, expires_at }: Reset): boolean {
  return completed_at === null && cancelled_at === null && Date.parse(expires_at) > Date.now();
}

/** Resets, each with the decisions that are open to the person. */
export function ResetLines({ resets }: { resets: readonly Reset[] }) {
  return (
    <ul>
      {resets.map((reset) => <ResetLine key={reset.id} reset={reset} />)}
    </ul>
  );
}

function ResetLine({ reset }: { reset: Reset }) {
  const { id, user_id, organization_id, requested_by, reason, requested_at, expires_at } = reset;
  const { data: me } = useQuery(queries.whoami());
  const organization = me?.organizations.find((one) => one.id === organization_id);
  const people = [user_id, requested_by].filter((one) => one !== null);
  const { data: names } = useQuery({
    ...queries.members.names(organization_id, people),
    enabled: organization?.permissions.includes("user:read") ?? false,
  });
  const nameOf = (person: string) => {
    if (person === me?.user.id) return "you";
    const found = names?.find((one) => one.user_id === person);
    return found?.name ?? found?.email ?? `${person.slice(0, 8)}…`;
  };
  const approve = useMutation(queries.mfa.approveReset());
  const cancel = useMutation(queries.mfa.cancelReset());
  const mayApprove = me && ![user_id, requested_by].includes(me.user.id);
  const about = nameOf(user_id);
  return (
    <Line>
      <span className="grid min-w-48 flex-1" data-reset={user_id}>
        <span className="font-medium">
          {about === "you" ? "Your second factors" : `The second factors of ${about}`}
        </span>
        <span className="text-quiet">
          {organization && `${organization.name}: `}“{reason}”, asked for by{" "}
          {requested_by ? nameOf(requested_by) : "the operator"} <Ago time={requested_at} />, ends
          {" "}
          <Ago time={expires_at} />
        </span>
        {approve.data?.completed === false && (
          <span role="status" className="text-quiet">Approved; others still have to.</span>
        )}
        <Problem error={approve.error ?? cancel.error} />
      </span>
      {!mayApprove && me && about !== "you" && (
        <span className="text-quiet">Somebody else has to approve it.</span>
      )}
      <button
        type="button"
        className="button"
        aria-label={`Cancel the reset of ${about}`}
        disabled={cancel.isPending}
        onClick={() => cancel.mutate([id])}
      >
        Cancel
      </button>
      {mayApprove && (
        <button
          type="button"
          className="button danger"
          aria-label={`Approve the reset of ${about}`}
          disabled={approve.isPending}
          onClick={() => approve.mutate([id])}
        >
          Approve
        </button>
      )}
    </Line>
  );
}

/** Asks to take the second factors from a member who lost them. */
export function RequestReset({ user, called, organization }: {
  user: string;
  called: string;
  organization: string;
}) {
  const request = useMutation(queries.mfa.requestReset());
  return (
    <FormDialog
      trigger="Reset"
      label={`Reset the second factors of ${called}`}
      look="plain danger h-7 px-2"
      title={`Reset the second factors of ${called}?`}
      about="For somebody who lost phone and backup codes. Factors, backup codes and trusted browsers are gone for good, in all organizations. If a second person has to approve, the request is open for a day."
      action="Reset"
      mutation={request}
      onSubmit={(form, close) => {
        const reason = String(form.get("reason")).trim();
        const asked = { user_id: user, organization_id: organization, reason };
        request.mutate([asked], { onSuccess: close });
      }}
    >
      <label className="grid gap-1 font-medium">
        Reason
        <input name="reason" required maxLength={500} className="field font-normal" />
      </label>
    </FormDialog>
  );
}
