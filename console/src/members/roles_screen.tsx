import { useOpened } from "../opened.ts";
import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { RoleMatrix } from "./matrix.tsx";
import { NewRole } from "./role_dialog.tsx";

/** The roles of an organization and their permissions. */
export function Roles() {
  const opened = useOpened("role");
  return (
    <OfOrganization title="Roles" permission="role:read">
      {(organization) => (
        <>
          <Heading
            action={organization.permissions.includes("role:manage") && (
              <NewRole organization={organization} opened={opened} />
            )}
          >
            Roles
          </Heading>
          <RoleMatrix organization={organization} />
        </>
      )}
    </OfOrganization>
  );
}
