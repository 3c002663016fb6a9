# One instance without a public address, that nobody can connect to. Everything carries the sandbox's id as a tag.

locals {
  tags = merge(var.tags, {
    "Name"               = var.sandbox_id
    "strongroom-sandbox" = var.sandbox_id
  })
}

# No ingress at all, and out to the edge only.
resource "aws_security_group" "sandbox" {
  name        = var.sandbox_id
  description = "Out to Strongroom's edge, nothing else"
  vpc_id      = var.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "edge" {
  security_group_id = aws_security_group.sandbox.id
  description       = "Strongroom's edge"
  ip_protocol       = "tcp"
  from_port         = var.edge_port
  to_port           = var.edge_port
  cidr_ipv4         = "${var.edge_address}/32"
  tags              = local.tags
}

resource "aws_instance" "sandbox" {
  ami                                  = var.image_id
  instance_type                        = var.instance_type
  subnet_id                            = var.subnet_id
  vpc_security_group_ids               = [aws_security_group.sandbox.id]
  associate_public_ip_address          = false
  instance_initiated_shutdown_behavior = "terminate"
  tags                                 = local.tags
  volume_tags                          = local.tags

  # Another user data is another instance: so each boot is one.
  user_data_base64            = base64encode(var.user_data)
  user_data_replace_on_change = true

  # An instance with SEV-SNP has no enclaves.
  dynamic "cpu_options" {
    for_each = var.isolation == "sev-snp" ? [1] : []
    content {
      amd_sev_snp = "enabled"
    }
  }

  enclave_options {
    enabled = var.isolation == "nitro-enclave"
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.disk_gb
    encrypted             = true
    delete_on_termination = true
  }
}
