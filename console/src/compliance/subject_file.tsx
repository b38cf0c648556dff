import type { BulwarkError, Subject } from "@bulwark/client";
import { useMutation } from "@tanstack/react-query";
import { bulwark } from "../connection.ts";
import { Problem } from "../ui/parts.tsx";
import { dated, save } from "../ui/save.ts";

/** Saves what is known of a person as a file. */
export function SubjectFile({ subject, name }: { subject: Subject; name: string }) {
  const make = useMutation<Blob, BulwarkError>({
    mutationFn: () => new Response(bulwark.compliance.subjectFile(subject)).blob(),
    onSuccess: (file) => save(file, dated(name, "ndjson")),
  });
  return (
    <div className="grid justify-items-start gap-3">
      <button
        type="button"
        className="button"
        disabled={make.isPending}
        onClick={() => make.mutate()}
      >
        {make.isPending ? "Collecting" : "Save as a file"}
      </button>
      <Problem error={make.error} />
      {make.isSuccess && <p role="status" className="text-good">The file is saved.</p>}
    </div>
  );
}
