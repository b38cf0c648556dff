import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { Overview } from "./overview.tsx";

/** The data keys of an organization, for its administrators. */
export function OrganizationEncryption() {
  return (
    <OfOrganization title="Encryption" permission="encryption:rotate">
      {({ id }) => (
        <>
          <Heading>Encryption</Heading>
          <Overview key={id} organization={id} />
        </>
      )}
    </OfOrganization>
  );
}
