import { Link } from "@tanstack/react-router";
import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { WebhooksCard } from "./webhooks_card.tsx";

/** Receivers of the organization's events, and how deliveries to each go. */
export function Webhooks() {
  return (
    <OfOrganization title="Webhooks" permission="webhook:read">
      {(organization) => (
        <WebhooksCard
          key={organization.id}
          organization={organization}
          head={(action) => <Heading action={action}>Webhooks</Heading>}
          nameOf={({ id, name }) => (
            <Link
              to="/o/$slug/webhooks/$endpoint"
              params={{ slug: organization.slug, endpoint: id }}
              className="link"
            >
              {name}
            </Link>
          )}
        />
      )}
    </OfOrganization>
  );
}
