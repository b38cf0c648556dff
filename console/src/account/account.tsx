import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queries } from "../connection.ts";
import { SubjectFile } from "../compliance/subject_file.tsx";
import { Heading, Section, useTitle } from "../ui/parts.tsx";
import { BackupCodes, RenewBackupCodes } from "./backup_codes.tsx";
import { Devices } from "./devices.tsx";
import { Factors } from "./factors.tsx";
import { Resets } from "./resets.tsx";
import { Usage } from "./usage.tsx";

/** Second factors, backup codes, trusted browsers and sessions of the person. */
export function Account() {
  useTitle("My security");
  const { data: status } = useQuery(queries.mfa.status());
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  return (
    <div className="grid w-full max-w-3xl grid-cols-[minmax(0,1fr)] gap-4">
      <Heading>My security</Heading>
      {codes && <BackupCodes codes={codes} onKept={() => setCodes(null)} />}
      <Resets />
      <Factors onCodes={setCodes} />
      {status?.enrolled && <RenewBackupCodes onCodes={setCodes} />}
      <Devices />
      {status?.enrolled && <Usage />}
      <Section
        title="Your data"
        about="Everything that is known of you, in all organizations, one row of JSON a line."
      >
        <div className="border-t border-line px-4 py-3">
          <SubjectFile subject={{}} name="my-data" />
        </div>
      </Section>
    </div>
  );
}
