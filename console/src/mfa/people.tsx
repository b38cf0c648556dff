import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { queries } from "../connection.ts";
import type { Organization } from "../organization.tsx";
import { Ago, Badge, Empty, Initials } from "../ui/parts.tsx";
import { Actions, Cell, Row, Table } from "../ui/table.tsx";
import { states } from "./address.ts";
import { RequestReset } from "./resets.tsx";

const words = {
  missing: "Without a second factor",
  overdue: "Overdue",
  locked: "Locked by wrong codes",
  enrolled: "With a second factor",
} as const;

/** The members and their second factors. */
export function People({ organization }: { organization: Organization }) {
  const { state } = useSearch({ from: "/shell/o/$slug/mfa" });
  const navigate = useNavigate({ from: "/o/$slug/mfa" });
  const { data: me } = useQuery(queries.whoami());
  const members = useInfiniteQuery({
    ...queries.mfa.everyone(organization.id, state ? { state } : {}),
    placeholderData: (before) => before,
  });
  const resets = organization.permissions.includes("mfa:reset");
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <h2 className="flex-1 text-base font-semibold">Members</h2>
        <select
          aria-label="Which members"
          className="field w-auto"
          value={state ?? ""}
          onChange={({ target }) => {
            const chosen = states.find((one) => one === target.value);
            void navigate({ search: chosen ? { state: chosen } : {}, replace: true });
          }}
        >
          <option value="">All members</option>
          {states.map((one) => <option key={one} value={one}>{words[one]}</option>)}
        </select>
      </div>
      <Table
        label="Members and their second factors"
        columns={["Member", "Second factor", "Used last", "Signed in last", { hidden: "Actions" }]}
        rows={members.data?.pages.flat().sort((one, other) =>
          nameOf(one).localeCompare(nameOf(other))
        )}
        error={members.error}
        pages={members}
        empty={
          <Empty title="Nobody">
            {state === "missing" || state === "overdue"
              ? "Everybody has a second factor."
              : "No member is in this state."}
          </Empty>
        }
      >
        {(member) => {
          const { user_id, name, email, enrolled, overdue, locked, locked_until } = member;
          const called = nameOf(member);
          return (
            <Row key={user_id} data-member={email ?? user_id}>
              <Cell>
                <span className="flex items-center gap-2 whitespace-nowrap">
                  <Initials name={called} />
                  <span className="max-w-64 truncate font-medium">{called}</span>
                  {name && email && <span className="max-w-64 truncate text-quiet">{email}</span>}
                  {user_id === me?.user.id && <Badge>you</Badge>}
                  {member.suspended && <Badge tone="bad">suspended</Badge>}
                </span>
              </Cell>
              <Cell>
                <span className="flex items-center gap-1.5 whitespace-nowrap">
                  {enrolled
                    ? <Badge tone="good">yes</Badge>
                    : overdue
                    ? <Badge tone="bad">overdue</Badge>
                    : <Badge tone="warn">none</Badge>}
                  {locked && <Badge tone="bad">locked</Badge>}
                  {locked && locked_until && (
                    <span className="text-xs text-quiet">
                      ends <Ago time={locked_until} />
                    </span>
                  )}
                </span>
              </Cell>
              <Cell className="text-quiet">
                {member.last_used_at && <Ago time={member.last_used_at} />}
              </Cell>
              <Cell className="text-quiet">
                {member.last_sign_in_at ? <Ago time={member.last_sign_in_at} /> : "never"}
              </Cell>
              <Actions>
                {!enrolled && email && user_id !== me?.user.id && (
                  <a
                    className="button plain h-7 px-2"
                    href={mail(email, organization.name)}
                    aria-label={`Ask by e-mail: ${called}`}
                  >
                    Ask by e-mail
                  </a>
                )}
                {resets && (enrolled || locked) && user_id !== me?.user.id && (
                  <RequestReset user={user_id} called={called} organization={organization.id} />
                )}
              </Actions>
            </Row>
          );
        }}
      </Table>
    </>
  );
}

/** The name of a member, or else the address or the beginning of the id. */
export function nameOf({ name, email, user_id }: {
  name: string | null;
  email: string | null;
  user_id: string;
}): string {
  return name ?? email ?? `${user_id.slice(0, 8)}…`;
}

/** A message in the person's own mail program, with a link to the screen that adds a factor. */
function mail(to: string, organization: string): string {
  const link = new URL("#/account", location.href).href;
  const body = `Please add a second factor to your account for ${organization}:\n\n${link}\n`;
  return `mailto:${encodeURIComponent(to)}?subject=${
    encodeURIComponent(`A second factor for ${organization}`)
  }&body=${encodeURIComponent(body)}`;
}
