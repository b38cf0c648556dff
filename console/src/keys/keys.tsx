import { useOpened } from "../opened.ts";
import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { ApiKeys } from "./api_keys.tsx";

/** Keys for programs: one's own, and with api_key:read all of the organization. */
export function Keys() {
  const opened = useOpened("key");
  return (
    <OfOrganization title="API keys" permission={["api_key:create", "api_key:read"]}>
      {(organization) => (
        <ApiKeys
          key={organization.id}
          organization={organization}
          opened={opened}
          head={(action) => <Heading action={action}>API keys</Heading>}
        />
      )}
    </OfOrganization>
  );
}
