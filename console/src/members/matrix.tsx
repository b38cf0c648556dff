import { useMutation } from "@tanstack/react-query";
import { queries } from "../connection.ts";
import { OfOrganization, type Organization } from "../organization.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Badge, Heading, Line, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { EditRole, NewRole } from "./role_dialog.tsx";
import { type RoleContents, useRoles } from "./roles.ts";

/** The permissions of each role of an organization, its own and the inherited ones. */
export function Roles() {
  return (
    <OfOrganization title="Roles" permission="role:read">
      {(organization) => (
        <>
          <Heading
            action={organization.permissions.includes("role:manage") && (
              <NewRole organization={organization} />
            )}
          >
            Roles
          </Heading>
          <Matrix organization={organization} />
        </>
      )}
    </OfOrganization>
  );
}

function Matrix({ organization }: { organization: Organization }) {
  const { roles, permissions, error } = useRoles(organization);
  if (error) return <Problem error={error} />;
  if (!roles) {
    return (
      <div className="card">
        <Skeleton lines={8} />
      </div>
    );
  }
  const custom = roles.filter(({ role }) => role.organization_id !== null);
  return (
    <>
      {custom.length > 0 && (
        <Section title="Roles of this organization">
          <ul>
            {custom.map((one) => <Custom key={one.role.id} of={one} organization={organization} />)}
          </ul>
        </Section>
      )}
      <p className="flex flex-wrap gap-4 text-quiet">
        <span>
          <span aria-hidden className="text-accent">●</span> its own
        </span>
        <span>
          <span aria-hidden>○</span> inherited
        </span>
      </p>
      <div
        role="group"
        aria-label="Permissions of the roles"
        tabIndex={0}
        className="card relative max-h-[calc(100dvh-10rem)] overflow-auto"
      >
        <table className="w-full text-left">
          <thead>
            <tr className="h-9">
              <th
                scope="col"
                className="cell-head sticky top-0 left-0 z-[2] border-b border-line bg-surface px-3"
              >
                Permission
              </th>
              {roles.map(({ role }) => (
                <th
                  key={role.id}
                  scope="col"
                  title={role.description}
                  className="cell-head sticky top-0 z-[1] border-b border-line bg-surface px-3 text-center whitespace-nowrap"
                >
                  {role.name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {permissions.map(({ name, description }) => (
              <tr
                key={name}
                className="group h-8 border-b border-line last:border-0 hover:bg-hover"
              >
                <th
                  scope="row"
                  title={description}
                  className="sticky left-0 bg-surface px-3 font-mono group-hover:bg-hover text-xs font-normal whitespace-nowrap"
                >
                  {name}
                </th>
                {roles.map(({ role, own, inherited }) => (
                  <td key={role.id} className="px-3 text-center">
                    {own.has(name)
                      ? (
                        <span className="text-accent">
                          <span aria-hidden>●</span>
                          <span className="sr-only">its own</span>
                        </span>
                      )
                      : inherited.has(name)
                      ? (
                        <span className="text-quiet">
                          <span aria-hidden>○</span>
                          <span className="sr-only">inherited</span>
                        </span>
                      )
                      : <span className="sr-only">no</span>}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Custom({ of, organization }: { of: RoleContents; organization: Organization }) {
  const { role, own, inherits, beyond } = of;
  const remove = useMutation(queries.roles.delete());
  return (
    <Line>
      <span className="font-medium">{role.name}</span>
      {inherits.map((name) => <Badge key={name}>inherits {name}</Badge>)}
      <span className="text-quiet">
        {own.size} of its own
      </span>
      <span className="min-w-32 flex-1 truncate text-quiet">{role.description}</span>
      {organization.permissions.includes("role:manage") &&
        (beyond
          ? <span className="text-xs text-quiet">{beyond}</span>
          : (
            <span className="flex gap-1">
              <EditRole organization={organization} role={of} />
              <Confirm
                trigger="Delete"
                label={`Delete ${role.name}`}
                title={`Delete ${role.name}?`}
                action="Delete"
                plain
                mutation={remove}
                onConfirm={(close) =>
                  remove.mutate([organization.id, role.name], { onSuccess: close })}
              >
                A role that somebody holds cannot be deleted.
              </Confirm>
            </span>
          ))}
    </Line>
  );
}
