output "instance_id" {
  description = "The instance, as AWS calls it"
  value       = aws_instance.sandbox.id
}

output "console" {
  description = "Where an operator finds the serial console's log"
  value       = "aws ec2 get-console-output --latest --region ${var.region} --instance-id ${aws_instance.sandbox.id}"
}
