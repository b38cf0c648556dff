# A hosted project with Supabase's provider: schemas, hooks and secrets of Bulwark. Migrations and functions
# come from the Supabase CLI (`supabase db push`, `supabase functions deploy`).
#
# The values of secrets are in the state: keep it in a backend that encrypts it, apart from those who read the
# database's backups. Or leave `bulwark_secrets` empty, and set them with `supabase secrets set`.

terraform {
  required_version = ">= 1.8"
  required_providers {
    supabase = {
      source  = "supabase/supabase"
      version = "~> 1.9"
    }
  }
}

provider "supabase" {
  access_token = var.supabase_access_token
}

resource "supabase_project" "this" {
  organization_id   = var.organization_id
  name              = var.project_name
  region            = var.region
  database_password = var.database_password
  instance_size     = var.instance_size

  lifecycle {
    prevent_destroy = true
    ignore_changes  = [database_password]
  }
}

resource "supabase_settings" "this" {
  project_ref = supabase_project.this.id

  # bulwark_private is never among them.
  api = jsonencode({
    db_schema            = join(",", concat(var.exposed_schemas, ["bulwark"]))
    db_extra_search_path = "public,extensions"
    max_rows             = 1000
  })

  auth = jsonencode(merge({
    site_url                         = var.site_url
    hook_custom_access_token_enabled = true
    hook_custom_access_token_uri     = "pg-functions://postgres/bulwark/custom_access_token_hook"
    }, {
    for name, value in {
      hook_mfa_verification_attempt_enabled      = true
      hook_mfa_verification_attempt_uri          = "pg-functions://postgres/bulwark/mfa_verification_attempt_hook"
      hook_password_verification_attempt_enabled = true
      hook_password_verification_attempt_uri     = "pg-functions://postgres/bulwark/password_verification_attempt_hook"
    } : name => value if var.verification_hooks
  }))

  network = jsonencode({
    restrictions = var.database_networks
  })

  ssl_enforcement = true

  # The hook's function is there only after the first `supabase db push`.
  depends_on = [terraform_data.migrations]
}

# Applies the migrations of the folder in which `bulwark init` ran.
resource "terraform_data" "migrations" {
  triggers_replace = sha256(join("", [
    for file in sort(fileset("${var.project_folder}/supabase/migrations", "*.sql")) :
    filesha256("${var.project_folder}/supabase/migrations/${file}")
  ]))

  provisioner "local-exec" {
    working_dir = var.project_folder
    command     = "npx supabase db push --yes --remote=\"$DATABASE_URL\""
    environment = { DATABASE_URL = var.database_url }
  }
}

resource "supabase_edge_function_secrets" "bulwark" {
  count       = nonsensitive(length(var.bulwark_secrets)) > 0 ? 1 : 0
  project_ref = supabase_project.this.id
  secrets     = [for name, value in var.bulwark_secrets : { name = name, value = value }]
}

output "project_ref" {
  value = supabase_project.this.id
}
