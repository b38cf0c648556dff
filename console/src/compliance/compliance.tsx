import { OfOrganization } from "../organization.tsx";
import { Heading } from "../ui/parts.tsx";
import { Tabs, usePart } from "../ui/tabs.tsx";
import { Holds } from "./holds.tsx";
import { People } from "./people.tsx";
import { Reporting } from "./report.tsx";
import { Reviews } from "./reviews.tsx";

const parts = {
  report: "Report",
  reviews: "Access reviews",
  holds: "Legal holds",
  people: "Data about people",
} as const;

const screens = { report: Reporting, reviews: Reviews, holds: Holds, people: People };

/** Evidence for auditors: reports, access reviews, legal holds, and people's data. */
export function Compliance() {
  const part = usePart(parts);
  return (
    <OfOrganization title="Compliance" permission="compliance:read">
      {(organization) => {
        const manages = organization.permissions.includes("compliance:manage");
        const { people, ...others } = parts;
        const Part = screens[part];
        return (
          <>
            <Heading>Compliance</Heading>
            <Tabs
              label="Parts of compliance"
              parts={manages ? { ...others, people } : others}
              current={part}
            />
            <Part key={organization.id} organization={organization} />
          </>
        );
      }}
    </OfOrganization>
  );
}
