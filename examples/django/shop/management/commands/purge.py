from datetime import timedelta

from django.core.management.base import BaseCommand
from django.utils import timezone

from shop.models import Order


class Command(BaseCommand):
    """Deletes shipped orders of more than a day ago."""

    def handle(self, **options):
        found = Order.objects.filter(shipped=True, created__lt=timezone.now() - timedelta(days=1)).delete()
        self.stdout.write(f"deleted {found[0]}")
