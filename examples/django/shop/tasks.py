import django

django.setup()


def ship(order_id):
    from shop.models import Order

    Order.objects.filter(id=order_id).update(shipped=True)
