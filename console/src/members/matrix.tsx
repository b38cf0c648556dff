import { useMutation } from "@tanstack/react-query";
import { type Organization, useBulwarkQueries, useText } from "../blocks/provider.tsx";
import { Confirm } from "../ui/confirm.tsx";
import { Badge, Line, Problem, Section, Skeleton } from "../ui/parts.tsx";
import { EditRole } from "./role_dialog.tsx";
import { type RoleContents, useRoles } from "./roles.ts";

/** The permissions of each role of an organization, its own and the inherited ones. */
export function RoleMatrix({ organization }: { organization: Organization }) {
  const t = useText();
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
        <Section title={t("Roles of this organization")}>
          <ul>
            {custom.map((one) => <Custom key={one.role.id} of={one} organization={organization} />)}
          </ul>
        </Section>
      )}
      <p className="flex flex-wrap gap-4 text-quiet">
        <span>
          <span aria-hidden className="text-accent">●</span> {t("its own")}
        </span>
        <span>
          <span aria-hidden>○</span> {t("inherited")}
        </span>
      </p>
      <div
        role="group"
        aria-label={t("Permissions of the roles")}
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
                {t("Permission")}
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
                          <span className="sr-only">{t("its own")}</span>
                        </span>
                      )
                      : inherited.has(name)
                      ? (
                        <span className="text-quiet">
                          <span aria-hidden>○</span>
                          <span className="sr-only">{t("inherited")}</span>
                        </span>
                      )
                      : <span className="sr-only">{t("no")}</span>}
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
  const queries = useBulwarkQueries();
  const t = useText();
  const { role, own, inherits, beyond } = of;
  const remove = useMutation(queries.roles.delete());
  return (
    <Line>
      <span className="font-medium">{role.name}</span>
      {inherits.map((name) => <Badge key={name}>{t("inherits {name}", { name })}</Badge>)}
      <span className="text-quiet">{t("{size} of its own", { size: own.size })}</span>
      <span className="min-w-32 flex-1 truncate text-quiet">{role.description}</span>
      {organization.permissions.includes("role:manage") &&
        (beyond
          ? <span className="text-xs text-quiet">{t(beyond)}</span>
          : (
            <span className="flex gap-1">
              <EditRole organization={organization} role={of} />
              <Confirm
                trigger={t("Delete")}
                label={t("Delete {name}", { name: role.name })}
                title={t("Delete {name}?", { name: role.name })}
                action={t("Delete")}
                plain
                mutation={remove}
                onConfirm={(close) =>
                  remove.mutate([organization.id, role.name], { onSuccess: close })}
              >
                {t("A role that somebody holds cannot be deleted.")}
              </Confirm>
            </span>
          ))}
    </Line>
  );
}
