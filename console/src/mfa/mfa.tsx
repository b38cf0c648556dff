import { useQuery } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Heading, Section } from "../ui/parts.tsx";
import { People } from "./people.tsx";
import { Policy } from "./policy.tsx";
import { isOpen, ResetLines } from "./resets.tsx";

/** The demands of an organization on second factors, who lacks one, and resets that wait. */
export function Mfa() {
  return (
    <OfOrganization title="MFA" permission={["security:read", "mfa:reset", "settings:write"]}>
      {(organization) => (
        <>
          <Heading>MFA</Heading>
          <Policy key={organization.id} organization={organization} />
          {organization.permissions.includes("mfa:reset") && <Resets organization={organization} />}
          {organization.permissions.includes("security:read") && (
            <People organization={organization} />
          )}
        </>
      )}
    </OfOrganization>
  );
}

/** Open resets that were asked for in the organization. */
function Resets({ organization }: { organization: Organization }) {
  const { data: resets } = useQuery({ ...queries.mfa.resets(), refetchInterval: 30_000 });
  const open = resets?.filter((reset) =>
    reset.organization_id === organization.id && isOpen(reset)
  );
  if (!open?.length) return null;
  return (
    <Section
      title="Resets that wait for approval"
      about="A reset takes all second factors from an account. Make sure that the person asked for it."
    >
      <ResetLines resets={open} />
    </Section>
  );
}
