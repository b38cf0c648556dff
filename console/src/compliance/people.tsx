import { useState } from "react";
import type { Organization } from "../organization.tsx";
import { Empty, Section } from "../ui/parts.tsx";
import { ChooseMembers, type Chosen } from "./choose_members.tsx";
import { Erase } from "./erase.tsx";
import { SubjectFile } from "./subject_file.tsx";

/** Gives somebody what is known of them, and erases it. */
export function People({ organization }: { organization: Organization }) {
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const [person] = chosen;
  if (!organization.permissions.includes("compliance:manage")) {
    return (
      <div className="card">
        <Empty title="This is not open to you">
          It needs compliance:manage, which a super_admin can give.
        </Empty>
      </div>
    );
  }
  return (
    <div className="grid max-w-3xl gap-4">
      <Section
        title="Whose data"
        about={`Of what ${organization.name} knows. Other organizations are not touched.`}
      >
        <div className="border-t border-line px-4 py-3">
          <ChooseMembers
            organization={organization}
            label="Person"
            gone
            chosen={chosen}
            onChange={setChosen}
          />
        </div>
      </Section>
      {person && (
        <Section
          key={`export ${person.id}`}
          title="Export"
          about="Their rows and log entries of this organization as a file, one row of JSON a line. Do this before you erase."
        >
          <div className="border-t border-line px-4 py-3">
            <SubjectFile
              subject={{ user_id: person.id, organization_id: organization.id }}
              name={`${organization.slug}-subject-${person.id.slice(0, 8)}`}
            />
          </div>
        </Section>
      )}
      {person && <Erase key={`erase ${person.id}`} person={person} organization={organization} />}
    </div>
  );
}
