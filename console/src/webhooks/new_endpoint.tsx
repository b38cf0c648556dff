import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Choice, FormDialog } from "../ui/form_dialog.tsx";
import { Field } from "../ui/parts.tsx";
import { DeliveryOptions, optionsIn, Subscriptions, subscriptionsIn } from "./fields.tsx";
import type { Secret } from "./secret.tsx";

const formats = { json: "JSON, signed", slack: "Slack", pagerduty: "PagerDuty" };

/** Makes an endpoint; its secret is shown once. */
export function NewEndpoint({ organization, onMade }: {
  organization: Organization;
  onMade(secret: Secret): void;
}) {
  const queries = useBulwarkQueries();
  const t = useText();
  const create = useMutation(queries.webhooks.create());
  const [format, setFormat] = useState<keyof typeof formats>("json");
  const { permissions } = organization;
  const [log, events] = [permissions.includes("audit:read"), permissions.includes("security:read")];
  const submit = (form: FormData, close: () => void) => {
    const endpoint = {
      organization_id: organization.id,
      name: String(form.get("name")).trim(),
      url: String(form.get("url")).trim(),
      subscriptions: subscriptionsIn(form),
      ...optionsIn(form),
    };
    const routing_key = String(form.get("routing_key")).trim();
    const whole = format === "pagerduty"
      ? { ...endpoint, format, routing_key }
      : { ...endpoint, format };
    create.mutate([whole], {
      onSuccess: ({ id, name, secret }) => {
        onMade({ endpoint: id, name, secret });
        close();
        // Forgets the secret.
        create.reset();
      },
    });
  };
  return (
    <FormDialog
      trigger={t("Add endpoint")}
      look="primary"
      title={t("Add an endpoint")}
      action={t("Add")}
      mutation={create}
      onSubmit={submit}
    >
      <Field label={t("Name")} name="name" required maxLength={100} placeholder={t("On call")} />
      <Choice
        label={t("Format")}
        value={format}
        options={formats}
        onChange={({ target }) => setFormat(target.value as keyof typeof formats)}
      />
      <Field
        label={t("Address")}
        name="url"
        type="url"
        required
        defaultValue={format === "pagerduty" ? "https://events.pagerduty.com/v2/enqueue" : ""}
        key={format}
        placeholder={format === "slack"
          ? "https://hooks.slack.com/services/…"
          : "https://receiver.example.com/hook"}
        hint={t("Stored encrypted; only its host is shown later.")}
      />
      {format === "pagerduty" && <Field label={t("Routing key")} name="routing_key" required />}
      <Subscriptions
        organization={organization}
        given={[{
          pattern: events ? "security.*" : log ? "audit.*" : "",
          minimum_severity: "debug",
        }]}
      />
      <DeliveryOptions
        given={{ ordering: "none", include_details: false, follow_redirects: false }}
      />
    </FormDialog>
  );
}
