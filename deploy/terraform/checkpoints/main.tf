# A sink for the audit log's checkpoints in another AWS account: a bucket whose objects nobody can delete or
# overwrite before their time, and a function that takes checkpoints from Bulwark's and stores each once.
#
# Apply it with credentials of an account that the owners of the Supabase project cannot enter. Then set
# BULWARK_AUDIT_SINK to the output `url`, and BULWARK_AUDIT_SINK_TOKEN to the token.

terraform {
  required_version = ">= 1.8"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
  }
}

provider "aws" {
  region = var.region
}

resource "aws_s3_bucket" "checkpoints" {
  bucket              = var.bucket
  object_lock_enabled = true
}

resource "aws_s3_bucket_versioning" "checkpoints" {
  bucket = aws_s3_bucket.checkpoints.id
  versioning_configuration {
    status = "Enabled"
  }
}

# COMPLIANCE: not even the root of this account shortens it. Try it with GOVERNANCE first.
resource "aws_s3_bucket_object_lock_configuration" "checkpoints" {
  bucket = aws_s3_bucket.checkpoints.id
  rule {
    default_retention {
      mode = var.lock_mode
      days = var.lock_days
    }
  }
  depends_on = [aws_s3_bucket_versioning.checkpoints]
}

resource "aws_s3_bucket_public_access_block" "checkpoints" {
  bucket                  = aws_s3_bucket.checkpoints.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

data "archive_file" "sink" {
  type        = "zip"
  output_path = "${path.module}/.terraform/sink.zip"

  dynamic "source" {
    for_each = ["index.mjs", "sink.mjs"]
    content {
      filename = source.value
      content  = file("${path.module}/sink/${source.value}")
    }
  }
}

resource "aws_iam_role" "sink" {
  name = "${var.bucket}-sink"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# It writes and reads; it has no right to delete, to shorten a lock or to change the bucket.
resource "aws_iam_role_policy" "sink" {
  role = aws_iam_role.sink.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:GetObject"]
        Resource = "${aws_s3_bucket.checkpoints.arn}/checkpoints/*"
      },
      {
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = aws_s3_bucket.checkpoints.arn
        Condition = { StringLike = { "s3:prefix" = "checkpoints/*" } }
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.sink.arn}:*"
      },
    ]
  })
}

resource "aws_cloudwatch_log_group" "sink" {
  name              = "/aws/lambda/${var.bucket}-sink"
  retention_in_days = 400
}

resource "aws_lambda_function" "sink" {
  function_name                  = "${var.bucket}-sink"
  role                           = aws_iam_role.sink.arn
  runtime                        = "nodejs22.x"
  handler                        = "index.handler"
  filename                       = data.archive_file.sink.output_path
  source_code_hash               = data.archive_file.sink.output_base64sha256
  timeout                        = 10
  memory_size                    = 256
  reserved_concurrent_executions = 5

  environment {
    variables = {
      BUCKET       = aws_s3_bucket.checkpoints.id
      TOKEN_SHA256 = sha256(var.token)
    }
  }
  depends_on = [aws_cloudwatch_log_group.sink]
}

# Open to the internet; the function itself demands the token.
resource "aws_lambda_function_url" "sink" {
  function_name      = aws_lambda_function.sink.function_name
  authorization_type = "NONE"
}

output "url" {
  description = "BULWARK_AUDIT_SINK"
  value       = aws_lambda_function_url.sink.function_url
}
