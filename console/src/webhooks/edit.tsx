import type { Rows } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { FormDialog } from "../ui/form_dialog.tsx";
import { Field } from "../ui/parts.tsx";
import {
  DeliveryOptions,
  optionsIn,
  type Subscription,
  Subscriptions,
  subscriptionsIn,
} from "./fields.tsx";

type Endpoint = Rows["webhook_endpoints"];

/** Changes the name, the events and the options of an endpoint. */
export function Edit({ endpoint, subscriptions, organization }: {
  endpoint: Endpoint;
  subscriptions: readonly Subscription[];
  organization: Organization;
}) {
  const update = useMutation(queries.webhooks.update());
  const submit = (form: FormData, close: () => void) => {
    const chosen = optionsIn(form);
    const wanted = subscriptionsIn(form);
    const same = (one: readonly Subscription[]) =>
      JSON.stringify(one.map((line) => [line.pattern, line.minimum_severity]));
    // Only changes are sent: each needs rights of its own.
    const change = {
      name: String(form.get("name")).trim(),
      ...(chosen.ordering === endpoint.ordering ? {} : { ordering: chosen.ordering }),
      ...(chosen.include_details === endpoint.include_details
        ? {}
        : { include_details: chosen.include_details }),
      ...(chosen.follow_redirects === endpoint.follow_redirects
        ? {}
        : { follow_redirects: chosen.follow_redirects }),
      ...(same(wanted) === same(subscriptions) ? {} : { subscriptions: wanted }),
    };
    update.mutate([endpoint.id, change], { onSuccess: close });
  };
  return (
    <FormDialog
      trigger="Edit"
      title={`Edit ${endpoint.name}`}
      action="Save"
      mutation={update}
      onSubmit={submit}
    >
      <Field label="Name" name="name" required maxLength={100} defaultValue={endpoint.name} />
      <Subscriptions organization={organization} given={subscriptions} />
      <DeliveryOptions given={endpoint} />
    </FormDialog>
  );
}

/** Moves an endpoint to another address. */
export function Move({ endpoint }: { endpoint: Endpoint }) {
  const move = useMutation(queries.webhooks.move());
  const submit = (form: FormData, close: () => void) => {
    const to = {
      url: String(form.get("url")).trim(),
      ...(endpoint.format === "pagerduty"
        ? { routing_key: String(form.get("routing_key")).trim() }
        : {}),
    };
    move.mutate([endpoint.id, to], { onSuccess: close });
  };
  return (
    <FormDialog
      trigger="Move"
      title={`Move ${endpoint.name}`}
      about="Deliveries that wait go to the new address, too. The secret stays."
      action="Move"
      mutation={move}
      onSubmit={submit}
    >
      <Field label="Address" name="url" type="url" required placeholder={`${endpoint.origin}/…`} />
      {endpoint.format === "pagerduty" && <Field label="Routing key" name="routing_key" required />}
    </FormDialog>
  );
}
