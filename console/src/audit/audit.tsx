import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { type Filter, readFilter } from "./filter.ts";
import { AuditLog } from "./log.tsx";

/** The audit log of an organization, with its filter in the address. */
export function Audit() {
  // The router keeps what the route ignores.
  const filter = readFilter({ ...useSearch({ from: "/shell/o/$slug/audit" }) });
  const navigate = useNavigate({ from: "/o/$slug/audit" });
  const change = (next: Filter) => void navigate({ search: next, replace: true });
  return (
    <OfOrganization title="Audit log" permission="audit:read">
      {({ id, slug }) => (
        <>
          <Heading
            action={
              <Link to="/o/$slug/verify" params={{ slug }} className="button">
                Verify and export
              </Link>
            }
          >
            Audit log
          </Heading>
          <AuditLog key={id} organization={id} filter={filter} onFilter={change} />
        </>
      )}
    </OfOrganization>
  );
}
